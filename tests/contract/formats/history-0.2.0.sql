-- A history of 0.2.0, as sqlite3's .dump prints it: four records of two organizations.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE hourly_sums (
	hour INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	organization TEXT NOT NULL, 
	model TEXT NOT NULL, 
	requests BIGINT NOT NULL, 
	failures BIGINT NOT NULL, 
	input_tokens BIGINT NOT NULL, 
	output_tokens BIGINT NOT NULL, 
	cost_nanousd BIGINT NOT NULL, 
	PRIMARY KEY (hour, kind, scope, organization, model)
);
INSERT INTO "hourly_sums" VALUES(500004,'all','','default','gpt-4o',2,1,2000,400,30000);
INSERT INTO "hourly_sums" VALUES(500004,'customer','c','default','gpt-4o',1,0,1000,200,30000);
INSERT INTO "hourly_sums" VALUES(500004,'key','k','default','gpt-4o',1,0,1000,200,30000);
INSERT INTO "hourly_sums" VALUES(500004,'key','k2','default','gpt-4o',1,1,1000,200,0);
INSERT INTO "hourly_sums" VALUES(500004,'member','t/u','default','gpt-4o',1,0,1000,200,30000);
INSERT INTO "hourly_sums" VALUES(500004,'proxy','proxy','default','gpt-4o',2,1,2000,400,30000);
INSERT INTO "hourly_sums" VALUES(500004,'team','t','default','gpt-4o',1,0,1000,200,30000);
INSERT INTO "hourly_sums" VALUES(500004,'user','u','default','gpt-4o',1,0,1000,200,30000);
INSERT INTO "hourly_sums" VALUES(500028,'all','','default','gpt-4o',1,0,1000,200,30001);
INSERT INTO "hourly_sums" VALUES(500028,'customer','c','default','gpt-4o',1,0,1000,200,30001);
INSERT INTO "hourly_sums" VALUES(500028,'key','k','default','gpt-4o',1,0,1000,200,30001);
INSERT INTO "hourly_sums" VALUES(500028,'member','t/u','default','gpt-4o',1,0,1000,200,30001);
INSERT INTO "hourly_sums" VALUES(500028,'proxy','proxy','default','gpt-4o',1,0,1000,200,30001);
INSERT INTO "hourly_sums" VALUES(500028,'team','t','default','gpt-4o',1,0,1000,200,30001);
INSERT INTO "hourly_sums" VALUES(500028,'user','u','default','gpt-4o',1,0,1000,200,30001);
INSERT INTO "hourly_sums" VALUES(500004,'all','','acme','claude',1,0,1000,200,7);
INSERT INTO "hourly_sums" VALUES(500004,'key','theirs','acme','claude',1,0,1000,200,7);
INSERT INTO "hourly_sums" VALUES(500004,'proxy','proxy','acme','claude',1,0,1000,200,7);
CREATE TABLE ledger_positions (
	organization TEXT NOT NULL, 
	position TEXT NOT NULL, 
	PRIMARY KEY (organization)
);
INSERT INTO "ledger_positions" VALUES('default','1800014400000-0');
INSERT INTO "ledger_positions" VALUES('acme','1800014400000-1');
CREATE TABLE ledger_records (
	id TEXT NOT NULL, 
	organization TEXT NOT NULL, 
	admitted_us BIGINT NOT NULL, 
	settled_us BIGINT NOT NULL, 
	model TEXT NOT NULL, 
	status INTEGER NOT NULL, 
	cost_nanousd BIGINT NOT NULL, 
	record TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "ledger_records" VALUES('01a319380a000000000000000001','default',1800014400000000,1800014400000000,'gpt-4o',200,30000,'{"input_tokens":1000,"output_tokens":200,"cache_read_tokens":400,"id":"01a319380a000000000000000001","admitted_us":1800014400000000,"model":"gpt-4o","deployment":"gpt-4o","scopes":["proxy:proxy","team:t","member:t/u","user:u","customer:c","key:k"],"status":200,"cost_nanousd":30000,"certainty":"exact","settled_by":"ext_proc","bill":{"source":"genai-prices","lines":[["input",600,10000000],["cache_read",400,5000000],["output",200,110000000]]}}');
INSERT INTO "ledger_records" VALUES('01a31e5e66000000000000000002','default',1800100800000000,1800014400000000,'gpt-4o',200,30001,'{"input_tokens":1000,"output_tokens":200,"cache_read_tokens":400,"id":"01a31e5e66000000000000000002","admitted_us":1800100800000000,"model":"gpt-4o","deployment":"gpt-4o","scopes":["proxy:proxy","team:t","member:t/u","user:u","customer:c","key:k"],"status":200,"cost_nanousd":30001,"certainty":"exact","settled_by":"ext_proc","bill":{"source":"genai-prices","lines":[["input",600,10000000],["cache_read",400,5000000],["output",200,110000000]]}}');
INSERT INTO "ledger_records" VALUES('01a319380a000000000000000003','default',1800014400000000,1800014400000000,'gpt-4o',502,0,'{"input_tokens":1000,"output_tokens":200,"cache_read_tokens":400,"id":"01a319380a000000000000000003","admitted_us":1800014400000000,"model":"gpt-4o","deployment":"gpt-4o","scopes":["proxy:proxy","key:k2"],"status":502,"cost_nanousd":0,"certainty":"none","settled_by":"ext_proc","bill":{"source":"genai-prices"}}');
INSERT INTO "ledger_records" VALUES('01a319380a000000000000000004','acme',1800014400000000,1800014400000005,'claude',200,7,'{"input_tokens":1000,"output_tokens":200,"cache_read_tokens":400,"id":"01a319380a000000000000000004","admitted_us":1800014400000000,"model":"claude","deployment":"claude","scopes":["proxy:proxy","key:theirs"],"status":200,"cost_nanousd":7,"certainty":"expired","settled_by":"ext_proc","bill":{"source":"genai-prices","unpriced":["search"]}}');
CREATE INDEX ix_ledger_records_admitted_us ON ledger_records (admitted_us);
COMMIT;
