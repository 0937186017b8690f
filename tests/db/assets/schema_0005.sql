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
	peak_bytes BIGINT, longest_seconds DOUBLE, load_seconds DOUBLE, 
	CONSTRAINT pk_block_sample PRIMARY KEY (block_id, trial_id), 
	CONSTRAINT fk_block_sample_block_id_block FOREIGN KEY(block_id) REFERENCES block (id), 
	CONSTRAINT fk_block_sample_trial_id_trial FOREIGN KEY(trial_id) REFERENCES trial (id)
);
INSERT INTO "block_sample" VALUES(1,'trial-1',0.001,0.0009,10,0,NULL,NULL,NULL);
INSERT INTO "block_sample" VALUES(1,'trial-0',0.002,0.0009,10,1,1099511627776,NULL,NULL);
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
CREATE TABLE farm_schema_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT farm_schema_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "farm_schema_version" VALUES('0005');
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
	samples BLOB NOT NULL, 
	CONSTRAINT pk_measurement PRIMARY KEY (trial_id, metric, method), 
	CONSTRAINT fk_measurement_trial_id_trial FOREIGN KEY(trial_id) REFERENCES trial (id)
);
INSERT INTO "measurement" VALUES('trial-0','latency','measured','s',0.001,0.0009,0.0011,2,X'FCA9F1D24D62503F2F6EA301BC05523F');
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
CREATE INDEX ix_run_model_sha256 ON run (model_sha256);
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
COMMIT;
