"""Problems in CSV files: what is read, what is refused in which words, what is written."""

from __future__ import annotations

import pytest

from farm.errors import PlanError
from farm.plan.memory.arena import plan_memory, violations
from farm.plan.memory.csv_files import read_problem, solution_csv
from farm.plan.memory.problem import Buffer, Problem
from farm.units import Bytes

HEADER = "id,lower,upper,size\n"


@pytest.fixture
def file(tmp_path):
    def write(content: str | bytes):
        path = tmp_path / "problem.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def test_a_problem(file):
    problem = read_problem(file(HEADER + "a,0,3,16\nb,1,2,8\n"), Bytes(64))
    assert problem.buffers == (Buffer("a", 0, 3, Bytes(16)), Buffer("b", 1, 2, Bytes(8)))
    assert (problem.capacity, problem.alignment) == (64, 1)


def test_columns_in_another_order_and_more_of_them(file):
    problem = read_problem(file("\ufeffsize,id,upper,note,lower\r\n16,a,3,x,0\r\n"))
    assert problem.buffers == (Buffer("a", 0, 3, Bytes(16)),)


def test_a_solution_is_a_problem_with_offsets(file):
    problem = read_problem(file(HEADER + "a,0,2,16\nb,2,4,16\n"))
    text = solution_csv(problem, plan_memory(problem).offsets)
    assert text == "id,lower,upper,size,offset\na,0,2,16,0\nb,2,4,16,0\n"
    assert read_problem(file(text)) == problem


@pytest.mark.parametrize("name", ["a\rb", "a\nb", 'a,"b', "\x1b[31m", "a\u2028b"])
def test_any_name_can_be_written_and_read(file, name):
    problem = Problem((Buffer(name, 0, 2, Bytes(16)), Buffer("b", 0, 2, Bytes(16))))
    assert read_problem(file(solution_csv(problem, plan_memory(problem).offsets))) == problem


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,0,1,2\n", "has no column 'id' in its first line; expected id, lower, upper, size."),
        ("", "has no column 'id' in its first line"),
        (HEADER, "holds no buffers; expected a row for each below the header."),
        (HEADER + "a,0,1,2\nb,0,1,-2\n", "row 3: Buffer 'b' has the size -2; it must not be neg"),
        (HEADER + "a,4,4,2\n", "row 2: Buffer 'a' lives from step 4 until before step 4; it must"),
        (HEADER + "a,0,1,2\nb,0,1,2\na,1,2,2\n", "row 4: the id 'a' is already that of row 2;"),
        (HEADER + "a,0,1,65\n", "row 2: buffer 'a' alone has 65 bytes, 1 more than the capacity"),
        (HEADER + "a,0,x,2\n", "row 2: upper is 'x'; expected an integer."),
        (HEADER + f"a,0,{10**40},2\n", "row 2: upper has 41 digits; 40 are the most."),
        (HEADER + "a,0\n", "row 2: upper is ''; expected an integer."),
        (HEADER + "a,0,1,1_000\n", "row 2: size is '1_000'; expected an integer."),
        (HEADER + "a,0,1,\u0661\n", "row 2: size is '\u0661'; expected an integer."),
        (HEADER + "a,0,1,2\nb,0,1,2,9\n", "row 3: there are more cells than the first line has"),
        ("id,size,lower,upper,size\n", "has the column 'size' twice in its first line; keep one."),
        (HEADER + ",0,1,2\n", "row 2: the id is ''; expected a name."),
        (HEADER + "a\0,0,1,2\n", "row 2: the id is 'a\\x00'; expected a name."),
        (HEADER + 'a,0,1,"2\n', "is not a CSV file: unexpected end of data."),
        (b"\xff\xfe\x00", "is not a CSV file: 'utf-8' codec can't decode"),
    ],
)
def test_what_makes_no_sense_is_named(file, content, message):
    with pytest.raises(PlanError) as error:
        read_problem(file(content), Bytes(64))
    assert message in str(error.value)
    assert "problem.csv" in str(error.value)


def test_steps_may_be_any_integers(file):
    """A hundred buffers, for which machine code is used, and steps that it could not hold."""
    far = 10**30
    rows = "".join(f"b{i},{far * (i - 50)},{far * (i - 47)},{1 + i % 3}\n" for i in range(100))
    solution = plan_memory(read_problem(file(HEADER + rows)))
    assert (solution.height, solution.lower_bound) == (6, 6)


@pytest.mark.parametrize(
    ("size", "alignment", "sentence"),
    [
        (2**61, 1, f"The buffers have {2**62} bytes together; {2**62 - 1} are the most that can"),
        (10**30, 1, f"The buffers have {2 * 10**30} bytes together; "),
        (3, 2**63 - 1, f"The buffers have {2**64 - 2} bytes together, each rounded up to a mul"),
    ],
)
def test_more_bytes_than_machine_integers_can_count_are_refused(file, size, alignment, sentence):
    content = file(HEADER + f"a,0,1,{size}\nb,1,2,{size}\n")
    with pytest.raises(PlanError) as error:
        read_problem(content, alignment=Bytes(alignment))
    assert str(error.value).startswith(sentence)


def test_as_many_bytes_as_can_be_counted_are_planned(file):
    """The sums of sizes times lifetimes, by which buffers are sorted, are far beyond."""
    size = (2**62 - 1) // 100
    rows = "".join(f"b{i},{i * i % 97},{i * i % 97 + 9},{size - i % 5}\n" for i in range(100))
    problem = read_problem(file(HEADER + rows))
    solution = plan_memory(problem, seconds=2)
    assert violations(problem, solution) == []


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(PlanError, match=r"none\.csv cannot be read: No such file or directory\."):
        read_problem(tmp_path / "none.csv")
