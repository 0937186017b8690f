"""Which nodes of one graph those of another stand for: what lies between anchors."""

from __future__ import annotations

from farm.profile.anchors import anchors_by_name
from farm.profile.correspond import correspondence, lent
from farm.profile.view import Node, View


def view(*lines: str, inputs: str = "x", constant: str = "") -> View:
    """A graph of lines like ``name: Operator a b -> c``."""
    nodes = []
    for line in lines:
        name, _, rest = line.partition(": ")
        reads, _, writes = rest.partition(" -> ")
        op_type, *read = reads.split()
        nodes.append(Node(name, op_type, tuple(read), tuple(writes.split())))
    return View(tuple(nodes), frozenset(inputs.split()), frozenset(constant.split()))


def mapped(after: View, before: View) -> dict[str, tuple[str, ...]]:
    found = correspondence(after, before, anchors_by_name(after, before))
    return {n.name: names for n, names in zip(after.nodes, lent(after, found), strict=True)}


CHAIN = view("conv: Conv x w -> c", "relu: Relu c -> r", "pool: MaxPool r -> y", constant="w")


def test_a_fused_kernel_has_all_that_lies_between() -> None:
    fused = view("a: FusedConv x w -> r", "b: MaxPool r -> y")
    assert mapped(fused, CHAIN) == {"a": ("conv", "relu"), "b": ("pool",)}


def test_nodes_without_an_anchor_between_them_share_what_they_stand_for() -> None:
    split = view(
        "a: Reshape x -> ?1", "b: Gemm ?1 w -> ?2", "c: Reshape ?2 -> c", "d: Relu c -> r"
    )
    found = mapped(split, CHAIN)
    assert found["b"] == found["c"] == ("conv",)
    assert found["a"] == ("conv",), "it moves what the product reads"
    assert found["d"] == ("relu",)


def test_what_only_moves_belongs_to_who_reads_it_or_to_who_wrote_it() -> None:
    blocked = view(
        "in: ReorderInput x -> t0",
        "r_nchwc: Conv t0 w -> t1",
        "y_nchwc: MaxPool t1 -> t2",
        "out: ReorderOutput t2 -> y",
    )
    assert mapped(blocked, CHAIN) == {
        "in": ("conv", "relu"),
        "r_nchwc": ("conv", "relu"),
        "y_nchwc": ("pool",),
        "out": ("pool",),
    }


def test_a_node_in_blocked_layout_that_took_in_a_sum_is_of_the_sum() -> None:
    residual = view(
        "first: Conv x w -> a",
        "second: Conv a w -> b",
        "sum: Add a b -> s",
        "act: Relu s -> r",
        "third: Conv r w -> y",
        constant="w",
    )
    blocked = view(
        "a_nchwc: Conv x w bias -> t0",
        "b_nchwc_token_4: Conv t0 w bias t0 -> t1",
        "y_nchwc: Conv t1 w bias -> t2",
        "out: ReorderOutput t2 -> y",
        constant="w bias",
    )
    found = mapped(blocked, residual)
    assert found["b_nchwc_token_4"] == ("second", "sum", "act")
    assert found["y_nchwc"] == ("third",)
    separate = view(
        "a_nchwc: Conv x w bias -> t0",
        "b_nchwc: Conv t0 w bias -> t1",
        "out: ReorderOutput t1 -> b",
        "sum: Add a b -> s",
        constant="w bias",
    )
    assert mapped(separate, residual)["b_nchwc"] == ("second",)


def test_names_of_inlined_branches_and_of_second_tensors_are_known() -> None:
    inlined = view(
        "a: Conv x w -> _if_then_branch_token_3__if_else_branch_c", "b: Relu q -> r_token_7"
    )
    assert anchors_by_name(inlined, CHAIN) == {
        "x": "x",
        "w": "w",
        "_if_then_branch_token_3__if_else_branch_c": "c",
        "r_token_7": "r",
    }


def test_quantising_belongs_to_the_operators_between_which_it_stands() -> None:
    quantised = view(
        "q: QuantizeLinear x -> x_q",
        "a: QLinearConv x_q w -> r_q",
        "dq: DequantizeLinear r_q -> r",
        "b: MaxPool r -> y",
    )
    found = mapped(quantised, CHAIN)
    assert found["q"] == found["a"] == found["dq"] == ("conv", "relu")
    assert found["b"] == ("pool",)


def test_constants_are_not_followed_but_where_they_run() -> None:
    before = view(
        "dq: DequantizeLinear w -> weights",
        "conv: Conv x weights -> y",
        constant="w weights",
    )
    assert mapped(view("k: Conv x w2 -> y"), before) == {"k": ("conv",)}
    kept = view("a: DequantizeLinear w -> weights", "k: Conv x weights -> y", constant="w weights")
    assert mapped(kept, before) == {"a": ("dq",), "k": ("conv",)}


def test_what_an_engine_tells_is_completed_by_what_nobody_has() -> None:
    after = view("k: Conv x -> k", "unknown: RNNSeq k -> u", "last: Softmax u -> y")
    before = view("a: Conv x -> a", "b: Relu a -> b", "c: LSTM b -> c", "d: Softmax c -> y")
    anchors = {"x": "x", "k": "b", "y": "y"}
    found = correspondence(after, before, anchors, [("a",), (), ("d",)])
    assert found == (("a", "b"), ("c",), ("d",))


def test_what_reads_nothing_and_is_read_by_nobody_has_no_operators() -> None:
    assert mapped(view("stray: Something -> z"), CHAIN) == {"stray": ()}


def test_of_a_condition_only_the_branch_that_runs_is_followed() -> None:
    then, other = (("if", 0),), (("if", 1),)
    before = View(
        (
            Node("a", "MatMul", ("x", "w"), ("a",), then),
            Node("b", "Squeeze", ("a",), ("b",), then),
            Node("never", "MatMul", ("x", "v"), ("c",), other),
            Node("if", "If", ("flag", "b", "c"), ("y",)),
        ),
        frozenset({"x", "flag"}),
        frozenset({"w", "v", "flag"}),
    )
    inlined = view("k: MatMul x w -> _if_then_branch_token_0_a", "m: Reshape q s -> y")
    assert mapped(inlined, before) == {"k": ("a",), "m": ("b", "if")}
    unknown = view("k: MatMul x w -> y")
    assert mapped(unknown, before) == {"k": ("a", "b", "never", "if")}, "nothing says which"
