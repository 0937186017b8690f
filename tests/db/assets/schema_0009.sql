BEGIN TRANSACTION;
CREATE TABLE artifact (
	"key" TEXT NOT NULL, 
	model_sha256 TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	bytes BIGINT NOT NULL, 
	CONSTRAINT pk_artifact PRIMARY KEY ("key"), 
	CONSTRAINT fk_artifact_model_sha256_model FOREIGN KEY(model_sha256) REFERENCES model (sha256)
);
INSERT INTO "artifact" VALUES('onnx-1234','abababababababababababababababababababababababababababababababab','onnx',52878);
CREATE TABLE block (
	id INTEGER NOT NULL, 
	run TEXT NOT NULL, 
	device TEXT NOT NULL, 
	race INTEGER NOT NULL, 
	block_index INTEGER NOT NULL, 
	started_at DATETIME NOT NULL, 
	kept BOOLEAN NOT NULL, 
	reason TEXT NOT NULL, 
	sentinel_seconds DOUBLE, 
	CONSTRAINT pk_block PRIMARY KEY (id), 
	CONSTRAINT uq_block_run_device_race_block_index UNIQUE (run, device, race, block_index), 
	CONSTRAINT fk_block_run_run FOREIGN KEY(run) REFERENCES run (name)
);
INSERT INTO "block" VALUES(1,'kws-20261121-065312','cpu',0,0,'2026-11-21 06:53:12.250000',1,'',0.002);
CREATE TABLE block_sample (
	block_id INTEGER NOT NULL, 
	trial_id TEXT NOT NULL, 
	seconds DOUBLE NOT NULL, 
	cpu_seconds DOUBLE NOT NULL, 
	loops INTEGER NOT NULL, 
	run_order INTEGER NOT NULL, 
	peak_bytes BIGINT, longest_seconds DOUBLE, load_seconds DOUBLE, joules DOUBLE, energy_window DOUBLE, idle_watts DOUBLE, 
	CONSTRAINT pk_block_sample PRIMARY KEY (block_id, trial_id), 
	CONSTRAINT fk_block_sample_block_id_block FOREIGN KEY(block_id) REFERENCES block (id), 
	CONSTRAINT fk_block_sample_trial_id_trial FOREIGN KEY(trial_id) REFERENCES trial (id)
);
INSERT INTO "block_sample" VALUES(1,'trial-1',0.001,0.0009,10,0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "block_sample" VALUES(1,'trial-0',0.002,0.0009,10,1,1099511627776,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE calibration (
	id TEXT NOT NULL, 
	device TEXT NOT NULL, 
	machine_id TEXT NOT NULL, 
	software_id TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	seconds DOUBLE NOT NULL, 
	constants TEXT NOT NULL, 
	borders TEXT NOT NULL, 
	details TEXT NOT NULL, 
	CONSTRAINT pk_calibration PRIMARY KEY (id), 
	CONSTRAINT fk_calibration_machine_id_machine FOREIGN KEY(machine_id) REFERENCES machine (id), 
	CONSTRAINT fk_calibration_software_id_software FOREIGN KEY(software_id) REFERENCES software (id)
);
INSERT INTO "calibration" VALUES('0123456789abcdef','cpu','fefab8ae6197beb8','8ff95b50e9684742','2026-11-21 06:53:12.250000',150.0,'[]','[]','{"notes": []}');
CREATE TABLE candidate (
	id TEXT NOT NULL, 
	json TEXT NOT NULL, 
	label TEXT NOT NULL, 
	CONSTRAINT pk_candidate PRIMARY KEY (id)
);
INSERT INTO "candidate" VALUES('62b4f7483e58','{"engine":{"fault":"none","kind":"fake","noise":0.01,"seconds":0.001,"serial":0},"precision":{"float_type":"float32","quantization":null}}','fake 0.001 s float32');
INSERT INTO "candidate" VALUES('ddc0c40f3f43','{"engine":{"fault":"none","kind":"fake","noise":0.01,"seconds":0.002,"serial":0},"precision":{"float_type":"float32","quantization":null}}','fake 0.002 s float32');
CREATE TABLE change_point (
	id TEXT NOT NULL, 
	series_id TEXT NOT NULL, 
	first_night TEXT NOT NULL, 
	found_night TEXT NOT NULL, 
	found_at DATETIME NOT NULL, 
	ratio DOUBLE NOT NULL, 
	low DOUBLE NOT NULL, 
	high DOUBLE NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	note TEXT NOT NULL, 
	triaged_at DATETIME, 
	details TEXT NOT NULL, 
	CONSTRAINT pk_change_point PRIMARY KEY (id), 
	CONSTRAINT fk_change_point_series_id_series FOREIGN KEY(series_id) REFERENCES series (id), 
	CONSTRAINT fk_change_point_first_night_night FOREIGN KEY(first_night) REFERENCES night (name), 
	CONSTRAINT fk_change_point_found_night_night FOREIGN KEY(found_night) REFERENCES night (name)
);
CREATE TABLE cost_model (
	id TEXT NOT NULL, 
	device TEXT NOT NULL, 
	machine_id TEXT NOT NULL, 
	software_id TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	format TEXT NOT NULL, 
	trials INTEGER NOT NULL, 
	kernels INTEGER NOT NULL, 
	fitted_to TEXT NOT NULL, 
	report TEXT NOT NULL, 
	content BLOB NOT NULL, 
	CONSTRAINT pk_cost_model PRIMARY KEY (id), 
	CONSTRAINT fk_cost_model_machine_id_machine FOREIGN KEY(machine_id) REFERENCES machine (id), 
	CONSTRAINT fk_cost_model_software_id_software FOREIGN KEY(software_id) REFERENCES software (id)
);
INSERT INTO "cost_model" VALUES('fedcba9876543210','cpu','fefab8ae6197beb8','8ff95b50e9684742','2026-11-21 06:53:12.250000','candidates-1',40,900,'89abcdef01234567','{"models": 5}',X'789C');
CREATE TABLE farm_schema_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT farm_schema_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "farm_schema_version" VALUES('0009');
CREATE TABLE machine (
	id TEXT NOT NULL, 
	hostname TEXT NOT NULL, 
	cpu TEXT NOT NULL, 
	cores INTEGER NOT NULL, 
	memory_bytes BIGINT NOT NULL, 
	details TEXT NOT NULL, 
	CONSTRAINT pk_machine PRIMARY KEY (id)
);
INSERT INTO "machine" VALUES('fefab8ae6197beb8','bench-1','Xeon',4,1099511627776,'{}');
CREATE TABLE measurement (
	trial_id TEXT NOT NULL, 
	metric VARCHAR(32) NOT NULL, 
	method VARCHAR(32) NOT NULL, 
	unit TEXT NOT NULL, 
	value DOUBLE NOT NULL, 
	low DOUBLE, 
	high DOUBLE, 
	sample_count INTEGER NOT NULL, 
	samples BLOB NOT NULL, ranking_id INTEGER CONSTRAINT fk_measurement_ranking_id_ranking REFERENCES ranking (id), 
	CONSTRAINT pk_measurement PRIMARY KEY (trial_id, metric, method), 
	CONSTRAINT fk_measurement_trial_id_trial FOREIGN KEY(trial_id) REFERENCES trial (id)
);
INSERT INTO "measurement" VALUES('trial-0','latency','measured','s',0.001,0.0009,0.0011,2,X'FCA9F1D24D62503F2F6EA301BC05523F',1);
CREATE TABLE model (
	sha256 TEXT NOT NULL, 
	name TEXT NOT NULL, 
	opset INTEGER NOT NULL, 
	operators INTEGER NOT NULL, 
	parameters BIGINT NOT NULL, 
	macs BIGINT NOT NULL, 
	details TEXT NOT NULL, 
	CONSTRAINT pk_model PRIMARY KEY (sha256)
);
INSERT INTO "model" VALUES('abababababababababababababababababababababababababababababababab','kws',13,40,24000,1099511627776,'{}');
CREATE TABLE night (
	name TEXT NOT NULL, 
	suite TEXT NOT NULL, 
	machine_id TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	details TEXT NOT NULL, 
	CONSTRAINT pk_night PRIMARY KEY (name), 
	CONSTRAINT fk_night_machine_id_machine FOREIGN KEY(machine_id) REFERENCES machine (id)
);
CREATE TABLE night_value (
	series_id TEXT NOT NULL, 
	night TEXT NOT NULL, 
	measured_at DATETIME NOT NULL, 
	run TEXT NOT NULL, 
	verdict TEXT NOT NULL, 
	value DOUBLE, 
	uncertainty DOUBLE, 
	seconds DOUBLE, 
	good_seconds DOUBLE, 
	p_value DOUBLE, 
	machine_id TEXT NOT NULL, 
	software_id TEXT NOT NULL, 
	details TEXT NOT NULL, 
	CONSTRAINT pk_night_value PRIMARY KEY (series_id, night), 
	CONSTRAINT fk_night_value_series_id_series FOREIGN KEY(series_id) REFERENCES series (id), 
	CONSTRAINT fk_night_value_night_night FOREIGN KEY(night) REFERENCES night (name), 
	CONSTRAINT fk_night_value_machine_id_machine FOREIGN KEY(machine_id) REFERENCES machine (id), 
	CONSTRAINT fk_night_value_software_id_software FOREIGN KEY(software_id) REFERENCES software (id)
);
CREATE TABLE operator_profile (
	trial_id TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	kernel TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	operators TEXT NOT NULL, 
	precision TEXT NOT NULL, 
	seconds DOUBLE, 
	packets BIGINT, 
	method VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_operator_profile PRIMARY KEY (trial_id, position), 
	CONSTRAINT fk_operator_profile_trial_id_trial FOREIGN KEY(trial_id) REFERENCES trial (id)
);
INSERT INTO "operator_profile" VALUES('trial-0',0,'conv_nchwc','Conv','["conv", "a, \"b\""]','float32',0.0007,NULL,'measured');
INSERT INTO "operator_profile" VALUES('trial-0',1,'ReorderOutput','ReorderOutput','[]','',0.0001,NULL,'measured');
CREATE TABLE prediction (
	trial_id TEXT NOT NULL, 
	metric VARCHAR(32) NOT NULL, 
	value DOUBLE NOT NULL, 
	low DOUBLE NOT NULL, 
	high DOUBLE NOT NULL, 
	unit TEXT NOT NULL, 
	basis VARCHAR(32) NOT NULL, 
	row_count INTEGER NOT NULL, 
	version TEXT NOT NULL, 
	CONSTRAINT pk_prediction PRIMARY KEY (trial_id, metric), 
	CONSTRAINT fk_prediction_trial_id_trial FOREIGN KEY(trial_id) REFERENCES trial (id)
);
INSERT INTO "prediction" VALUES('trial-0','latency',5.0e-05,4.0e-05,6.0e-05,'s','learned',40,'fedcba9876543210');
INSERT INTO "prediction" VALUES('trial-0','peak_memory',2000000.0,1000000.0,3000000.0,'B','roofline',0,'fedcba9876543210');
CREATE TABLE ranking (
	id INTEGER NOT NULL, 
	model_sha256 TEXT NOT NULL, 
	device TEXT NOT NULL, 
	machine_id TEXT NOT NULL, 
	unseen BOOLEAN NOT NULL, 
	metric VARCHAR(32) NOT NULL, 
	method VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_ranking PRIMARY KEY (id), 
	CONSTRAINT uq_ranking_model_sha256_device_machine_id_unseen_metric_method UNIQUE (model_sha256, device, machine_id, unseen, metric, method), 
	CONSTRAINT fk_ranking_model_sha256_model FOREIGN KEY(model_sha256) REFERENCES model (sha256), 
	CONSTRAINT fk_ranking_machine_id_machine FOREIGN KEY(machine_id) REFERENCES machine (id)
);
INSERT INTO "ranking" VALUES(1,'abababababababababababababababababababababababababababababababab','cpu','fefab8ae6197beb8',0,'latency','measured');
CREATE TABLE run (
	name TEXT NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	model_sha256 TEXT NOT NULL, 
	machine_id TEXT NOT NULL, 
	software_id TEXT NOT NULL, 
	seed BIGINT NOT NULL, 
	request TEXT NOT NULL, 
	status VARCHAR(32) NOT NULL, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	active_seconds DOUBLE NOT NULL, 
	summary TEXT, 
	CONSTRAINT pk_run PRIMARY KEY (name), 
	CONSTRAINT fk_run_model_sha256_model FOREIGN KEY(model_sha256) REFERENCES model (sha256), 
	CONSTRAINT fk_run_machine_id_machine FOREIGN KEY(machine_id) REFERENCES machine (id), 
	CONSTRAINT fk_run_software_id_software FOREIGN KEY(software_id) REFERENCES software (id)
);
INSERT INTO "run" VALUES('kws-20261121-065312','tune','abababababababababababababababababababababababababababababababab','fefab8ae6197beb8','8ff95b50e9684742',7,'{"budget":120}','running','2026-11-21 06:53:12.250000',NULL,0.0,NULL);
CREATE TABLE run_lease (
	run TEXT NOT NULL, 
	token TEXT NOT NULL, 
	host TEXT NOT NULL, 
	pid BIGINT NOT NULL, 
	process TEXT NOT NULL, 
	taken_at DATETIME NOT NULL, 
	renewed_at DATETIME NOT NULL, 
	CONSTRAINT pk_run_lease PRIMARY KEY (run), 
	CONSTRAINT fk_run_lease_run_run FOREIGN KEY(run) REFERENCES run (name)
);
INSERT INTO "run_lease" VALUES('kws-20261121-065312','0123456789abcdef','bench-1',4711,'boot/4026531836/123456','2026-11-21 06:53:13.250000','2026-11-21 06:53:13.250000');
CREATE TABLE series (
	id TEXT NOT NULL, 
	suite TEXT NOT NULL, 
	case_name TEXT NOT NULL, 
	device TEXT NOT NULL, 
	metric VARCHAR(32) NOT NULL, 
	environment TEXT NOT NULL, 
	model_sha256 TEXT NOT NULL, 
	good TEXT NOT NULL, 
	CONSTRAINT pk_series PRIMARY KEY (id), 
	CONSTRAINT fk_series_model_sha256_model FOREIGN KEY(model_sha256) REFERENCES model (sha256)
);
CREATE TABLE software (
	id TEXT NOT NULL, 
	versions TEXT NOT NULL, 
	CONSTRAINT pk_software PRIMARY KEY (id)
);
INSERT INTO "software" VALUES('8ff95b50e9684742','{"farm":"0.1.0","onnxruntime":"1.31.0"}');
CREATE TABLE trial (
	id TEXT NOT NULL, 
	run TEXT NOT NULL, 
	device TEXT NOT NULL, 
	candidate_id TEXT NOT NULL, 
	phase VARCHAR(32) NOT NULL, 
	machine_id TEXT NOT NULL, 
	software_id TEXT NOT NULL, 
	outcome VARCHAR(32), 
	message TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	artifact_key TEXT, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	details TEXT NOT NULL, 
	CONSTRAINT pk_trial PRIMARY KEY (id), 
	CONSTRAINT fk_trial_run_run FOREIGN KEY(run) REFERENCES run (name), 
	CONSTRAINT fk_trial_candidate_id_candidate FOREIGN KEY(candidate_id) REFERENCES candidate (id), 
	CONSTRAINT fk_trial_machine_id_machine FOREIGN KEY(machine_id) REFERENCES machine (id), 
	CONSTRAINT fk_trial_software_id_software FOREIGN KEY(software_id) REFERENCES software (id), 
	CONSTRAINT fk_trial_artifact_key_artifact FOREIGN KEY(artifact_key) REFERENCES artifact ("key")
);
INSERT INTO "trial" VALUES('trial-0','kws-20261121-065312','cpu','62b4f7483e58','search','fefab8ae6197beb8','8ff95b50e9684742','ok','',1,'onnx-1234','2026-11-21 06:53:12.250000','2026-11-21 07:26:39.058517','{}');
INSERT INTO "trial" VALUES('trial-1','kws-20261121-065312','cpu','ddc0c40f3f43','search','fefab8ae6197beb8','8ff95b50e9684742','run-error','it fell over',1,NULL,'2026-11-21 06:53:13.250000','2026-11-21 07:26:39.061381','{}');
CREATE INDEX ix_run_created_at ON run (created_at);
CREATE INDEX ix_trial_created_at ON trial (created_at);
CREATE INDEX ix_trial_candidate_id ON trial (candidate_id);
CREATE INDEX ix_trial_run_device ON trial (run, device);
CREATE INDEX ix_block_sample_trial_id ON block_sample (trial_id);
CREATE INDEX ix_series_suite_case_name ON series (suite, case_name);
CREATE INDEX ix_night_suite_started_at ON night (suite, started_at);
CREATE INDEX ix_night_value_series_id_measured_at ON night_value (series_id, measured_at);
CREATE INDEX ix_night_value_night ON night_value (night);
CREATE INDEX ix_change_point_series_id_found_at ON change_point (series_id, found_at);
CREATE INDEX ix_run_model_sha256_created_at ON run (model_sha256, created_at);
CREATE INDEX ix_measurement_ranking_id_value_trial_id ON measurement (ranking_id, value, trial_id);
CREATE VIEW trials AS 
    SELECT t.id AS trial, t.run, r.kind, t.phase, t.outcome, t.message,
        m.name AS model, r.model_sha256, t.device, h.hostname AS machine,
        c.label AS candidate, t.candidate_id,
        (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'latency' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS latency, (SELECT v.low FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'latency' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS latency_low, (SELECT v.high FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'latency' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS latency_high, (SELECT v.method FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'latency' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS latency_method, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'latency_p50' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS latency_p50, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'latency_p90' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS latency_p90, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'latency_p99' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS latency_p99, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'throughput' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS throughput, (SELECT v.method FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'throughput' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS throughput_method, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'cpu_seconds' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS cpu_seconds, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'load_time' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS load_time, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'first_result' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS first_result, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'peak_memory' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS peak_memory, (SELECT v.method FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'peak_memory' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS peak_memory_method, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'energy' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS energy, (SELECT v.method FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'energy' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS energy_method, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'energy_window' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS energy_window, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'idle_power' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS idle_power, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'accuracy' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS accuracy, (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'model_size' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS model_size,
        t.created_at, t.finished_at
    FROM trial t
    JOIN run r ON r.name = t.run
    JOIN model m ON m.sha256 = r.model_sha256
    JOIN machine h ON h.id = t.machine_id
    JOIN candidate c ON c.id = t.candidate_id;
CREATE VIEW best AS 
    SELECT m.name AS model, k.model_sha256, k.device, h.hostname AS machine, k.metric, k.method,
        v.value, v.low, v.high, v.unit, c.label AS candidate, t.candidate_id, t.id AS trial, t.run,
        t.phase, t.created_at, CASE WHEN k.metric = 'energy' AND k.method = 'measured' THEN (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'energy_window' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) END AS energy_window, CASE WHEN k.metric = 'energy' AND k.method = 'measured' THEN (SELECT v.value FROM measurement v WHERE v.trial_id = t.id AND v.metric = 'idle_power' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) END AS idle_power
    FROM (
        SELECT g.*,
            CASE WHEN g.metric IN ('throughput', 'accuracy') THEN (
                SELECT e.trial_id FROM measurement e WHERE e.ranking_id = g.id
                ORDER BY e.value DESC, e.trial_id DESC LIMIT 1
            ) ELSE (
                SELECT e.trial_id FROM measurement e WHERE e.ranking_id = g.id
                ORDER BY e.value, e.trial_id LIMIT 1
            ) END AS trial_id
        FROM ranking g
        WHERE g.unseen OR NOT EXISTS (
            SELECT 1 FROM ranking u
            WHERE u.model_sha256 = g.model_sha256 AND u.device = g.device
                AND u.machine_id = g.machine_id AND u.unseen
                AND u.metric = g.metric AND u.method = g.method
                AND (SELECT min(e.value) FROM measurement e WHERE e.ranking_id = u.id) IS NOT NULL
        )
    ) k
    CROSS JOIN measurement v
    CROSS JOIN trial t
    CROSS JOIN candidate c
    CROSS JOIN model m
    CROSS JOIN machine h
    WHERE v.trial_id = k.trial_id AND v.metric = k.metric AND v.method = k.method
        AND t.id = v.trial_id AND c.id = t.candidate_id
        AND m.sha256 = k.model_sha256 AND h.id = k.machine_id;
CREATE VIEW latest AS 
    SELECT m.name AS model, n.model_sha256, n.device, h.hostname AS machine, n.run, n.created_at,
        n.verdict, n.ratio, n.ratio_low, n.ratio_high,
        c.label AS winner, n.winner_trial,
        (SELECT v.value FROM measurement v WHERE v.trial_id = n.winner_trial AND v.metric = 'latency' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS latency,
        (SELECT v.method FROM measurement v WHERE v.trial_id = n.winner_trial AND v.metric = 'latency' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS latency_method,
        n.baseline_trial,
        (SELECT v.value FROM measurement v WHERE v.trial_id = n.baseline_trial AND v.metric = 'latency' ORDER BY CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END LIMIT 1) AS baseline_latency
    FROM (
        SELECT newest.*, (SELECT b.id FROM trial b WHERE b.run = newest.run
            AND b.device = newest.device AND b.phase = 'confirm'
            ORDER BY b.created_at, b.id LIMIT 1) AS baseline_trial
    FROM (
        SELECT r.model_sha256, d.key AS device, r.name AS run, r.created_at,
            json_extract(d.value, '$.verdict') AS verdict,
            CASE WHEN json_type(d.value, '$.ratio.value') IN ('real', 'integer') THEN json_extract(d.value, '$.ratio.value') END AS ratio, CASE WHEN json_type(d.value, '$.ratio.low') IN ('real', 'integer') THEN json_extract(d.value, '$.ratio.low') END AS ratio_low, CASE WHEN json_type(d.value, '$.ratio.high') IN ('real', 'integer') THEN json_extract(d.value, '$.ratio.high') END AS ratio_high,
            w.id AS winner_trial, w.candidate_id, w.machine_id,
            row_number() OVER (
                PARTITION BY r.model_sha256, d.key, w.machine_id
                ORDER BY r.created_at DESC, r.name DESC
            ) AS place
        FROM run r
        CROSS JOIN json_each(coalesce(r.summary, '{}'), '$.devices') d
        JOIN trial w ON w.id = json_extract(d.value, '$.trial')
        WHERE json_extract(d.value, '$.status') = 'tuned'
    ) newest
    WHERE newest.place = 1
    ) n
    JOIN candidate c ON c.id = n.candidate_id
    JOIN model m ON m.sha256 = n.model_sha256
    JOIN machine h ON h.id = n.machine_id;
CREATE VIEW failures AS 
    SELECT m.name AS model, r.model_sha256, t.device, t.outcome, t.message,
        count(*) AS trials, max(t.created_at) AS newest, max(t.id) AS trial
    FROM trial t
    JOIN run r ON r.name = t.run
    JOIN model m ON m.sha256 = r.model_sha256
    WHERE t.outcome <> 'ok'
    GROUP BY m.name, r.model_sha256, t.device, t.outcome, t.message;
CREATE VIEW regressions AS 
    SELECT s.suite, s.case_name, s.device, s.metric, s.environment, m.name AS model,
        s.model_sha256, c.ratio, c.low, c.high, c.state, c.note, c.first_night, c.found_night,
        c.found_at,
        (SELECT v.night FROM night_value v WHERE v.series_id = s.id
            ORDER BY v.measured_at DESC LIMIT 1) AS last_night,
        (SELECT v.value FROM night_value v WHERE v.series_id = s.id
            ORDER BY v.measured_at DESC LIMIT 1) AS last_log_ratio,
        c.id AS change_id, s.id AS series_id
    FROM change_point c
    JOIN series s ON s.id = c.series_id
    JOIN model m ON m.sha256 = s.model_sha256
    WHERE c.state IN ('confirmed', 'bug') AND c.ratio > 1
        AND NOT EXISTS (SELECT 1 FROM change_point l
            WHERE l.series_id = c.series_id AND l.found_at > c.found_at);
CREATE INDEX ix_calibration_device_machine_id_created_at ON calibration (device, machine_id, created_at);
CREATE INDEX ix_cost_model_device_machine_id_created_at ON cost_model (device, machine_id, created_at);
CREATE VIEW predicted AS 
    WITH kinds AS (
        SELECT DISTINCT p.model_sha256, p.device, p.metric, p.method,
            q.metric AS measured_metric, q.method AS measured_by
        FROM ranking p
        JOIN ranking q ON q.model_sha256 = p.model_sha256 AND q.device = p.device
        WHERE p.method IN ('modelled', 'planned') AND q.method IN ('measured', 'emulated')
            AND (q.metric = p.metric OR (p.metric = 'arena' AND q.metric = 'peak_memory'))
    ), newest AS (
        SELECT g.model_sha256, g.device, g.metric, g.method, t.candidate_id, v.trial_id, v.value,
            v.unit, row_number() OVER (
                PARTITION BY g.model_sha256, g.device, g.metric, g.method, t.candidate_id
                ORDER BY t.created_at DESC, t.id
            ) AS place
        FROM ranking g
        CROSS JOIN measurement v
        CROSS JOIN trial t
        WHERE v.ranking_id = g.id AND t.id = v.trial_id AND EXISTS (
            SELECT 1 FROM kinds k
            WHERE k.model_sha256 = g.model_sha256 AND k.device = g.device
                AND ((k.metric = g.metric AND k.method = g.method)
                    OR (k.measured_metric = g.metric AND k.measured_by = g.method))
        )
    )
    SELECT m.name AS model, k.model_sha256, k.device, c.label AS candidate, a.candidate_id,
        k.metric, k.method AS predicted_by, a.value AS predicted,
        k.measured_metric, k.measured_by, b.value AS measured, b.unit,
        a.trial_id AS predicted_trial, b.trial_id AS measured_trial
    FROM kinds k
    JOIN newest a ON a.place = 1 AND a.model_sha256 = k.model_sha256 AND a.device = k.device
        AND a.metric = k.metric AND a.method = k.method
    JOIN newest b ON b.place = 1 AND b.model_sha256 = k.model_sha256 AND b.device = k.device
        AND b.metric = k.measured_metric AND b.method = k.measured_by
        AND b.candidate_id = a.candidate_id
    JOIN candidate c ON c.id = a.candidate_id
    JOIN model m ON m.sha256 = k.model_sha256
 UNION ALL 
    SELECT model, model_sha256, device, candidate, candidate_id, metric, predicted_by, predicted,
        measured_metric, measured_by, measured, unit, predicted_trial, measured_trial
    FROM (
        SELECT m.name AS model, r.model_sha256, t.device, c.label AS candidate, t.candidate_id,
            p.metric, p.basis AS predicted_by, p.value AS predicted,
            v.metric AS measured_metric, v.method AS measured_by, v.value AS measured, v.unit,
            t.id AS predicted_trial, t.id AS measured_trial, row_number() OVER (
                PARTITION BY r.model_sha256, t.device, t.candidate_id, v.metric, v.method
                ORDER BY t.created_at DESC, t.id
            ) AS place
        FROM prediction p
        JOIN measurement v ON v.trial_id = p.trial_id AND v.metric = p.metric
        JOIN trial t ON t.id = p.trial_id
        JOIN run r ON r.name = t.run
        JOIN model m ON m.sha256 = r.model_sha256
        JOIN candidate c ON c.id = t.candidate_id
        WHERE v.method IN ('measured', 'emulated')
    ) pairs
    WHERE place = 1;
CREATE VIEW history AS 
    SELECT s.suite, s.case_name, s.device, s.metric, s.environment, m.name AS model,
        s.model_sha256, v.night, v.measured_at, v.verdict, v.value AS log_ratio, v.uncertainty,
        v.seconds AS value, v.good_seconds AS good_value, v.p_value,
        (SELECT c.state FROM change_point c WHERE c.series_id = v.series_id
            AND c.first_night = v.night ORDER BY c.found_at DESC LIMIT 1) AS change_state,
        h.hostname AS machine, v.software_id, v.run, v.series_id,
        CASE WHEN json_type(v.details, '$.ratio.high') IN ('real', 'integer') THEN json_extract(v.details, '$.ratio.low') END AS ratio_low,
        CASE WHEN json_type(v.details, '$.ratio.high') IN ('real', 'integer') THEN json_extract(v.details, '$.ratio.high') END AS ratio_high
    FROM night_value v
    JOIN series s ON s.id = v.series_id
    JOIN model m ON m.sha256 = s.model_sha256
    JOIN machine h ON h.id = v.machine_id;
COMMIT;
