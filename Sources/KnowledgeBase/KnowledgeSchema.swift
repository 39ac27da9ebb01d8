import Storage

/// The tables of the knowledge base and their history. A released step is never changed: add another behind it, and a fixture file.
///
/// Tables have names in the singular and hold numbers; views have names in the plural and are for people. No JSON functions here: SQLite
/// takes them for unsafe in a schema it does not trust, and a file that somebody hands us is not to be trusted.
enum KnowledgeSchema {
    /// "SKKB".
    static let applicationID: Int32 = 0x534b_4b42

    static let schema = SQLiteSchema(purpose: "knowledge base", applicationID: applicationID, steps: [step1, step2, step3])

    static let step1 = """
        -- Texts that repeat: kinds, names of figures, subjects of adapters.
        CREATE TABLE word (
            id INTEGER PRIMARY KEY,
            text TEXT NOT NULL UNIQUE CHECK (text <> '')
        ) STRICT;

        CREATE TABLE job (
            id INTEGER PRIMARY KEY,
            namespace TEXT NOT NULL CHECK (namespace <> ''),
            name TEXT NOT NULL CHECK (name <> ''),
            UNIQUE (namespace, name)
        ) STRICT;

        CREATE TABLE round (
            id INTEGER PRIMARY KEY,
            job_id INTEGER NOT NULL REFERENCES job,
            number INTEGER NOT NULL CHECK (number >= 0),
            pod TEXT NOT NULL CHECK (pod <> ''),
            -- Seconds since 1970, UTC.
            recorded_at INTEGER NOT NULL CHECK (recorded_at >= 0),
            -- Kept here so that nobody has to count the largest table.
            sample_count INTEGER NOT NULL CHECK (sample_count >= 0),
            UNIQUE (job_id, number, pod),
            UNIQUE (id, job_id)
        ) STRICT;

        CREATE TABLE round_metric (
            round_id INTEGER NOT NULL REFERENCES round,
            name_id INTEGER NOT NULL REFERENCES word,
            value REAL NOT NULL,
            PRIMARY KEY (round_id, name_id)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE dataset (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL CHECK (name <> ''),
            digest TEXT NOT NULL CHECK (length(digest) = 64 AND digest NOT GLOB '*[^0-9a-f]*'),
            row_count INTEGER NOT NULL CHECK (row_count >= 0),
            UNIQUE (name, digest)
        ) STRICT;

        CREATE TABLE round_dataset (
            round_id INTEGER NOT NULL REFERENCES round,
            dataset_id INTEGER NOT NULL REFERENCES dataset,
            PRIMARY KEY (round_id, dataset_id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX round_dataset_dataset ON round_dataset (dataset_id);

        CREATE TABLE task (
            id INTEGER PRIMARY KEY,
            job_id INTEGER NOT NULL REFERENCES job,
            name TEXT NOT NULL CHECK (name <> ''),
            UNIQUE (job_id, name)
        ) STRICT;

        CREATE TABLE task_attribute (
            task_id INTEGER NOT NULL REFERENCES task,
            name_id INTEGER NOT NULL REFERENCES word,
            value TEXT NOT NULL,
            PRIMARY KEY (task_id, name_id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX task_attribute_value ON task_attribute (name_id, value);

        CREATE TABLE round_task (
            round_id INTEGER NOT NULL REFERENCES round,
            task_id INTEGER NOT NULL REFERENCES task,
            sample_count INTEGER NOT NULL CHECK (sample_count >= 0),
            PRIMARY KEY (round_id, task_id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX round_task_task ON round_task (task_id);

        CREATE TABLE task_metric (
            round_id INTEGER NOT NULL,
            task_id INTEGER NOT NULL,
            name_id INTEGER NOT NULL REFERENCES word,
            value REAL NOT NULL,
            PRIMARY KEY (task_id, round_id, name_id),
            FOREIGN KEY (round_id, task_id) REFERENCES round_task
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE model (
            id INTEGER PRIMARY KEY,
            job_id INTEGER NOT NULL REFERENCES job,
            digest TEXT NOT NULL CHECK (length(digest) = 64 AND digest NOT GLOB '*[^0-9a-f]*'),
            format_id INTEGER NOT NULL REFERENCES word,
            size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
            UNIQUE (job_id, digest)
        ) STRICT;
        CREATE INDEX model_digest ON model (digest);

        CREATE TABLE round_model (
            round_id INTEGER NOT NULL REFERENCES round,
            model_id INTEGER NOT NULL REFERENCES model,
            name_id INTEGER NOT NULL REFERENCES word,
            PRIMARY KEY (round_id, model_id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX round_model_model ON round_model (model_id);

        CREATE TABLE model_metric (
            round_id INTEGER NOT NULL,
            model_id INTEGER NOT NULL,
            name_id INTEGER NOT NULL REFERENCES word,
            value REAL NOT NULL,
            PRIMARY KEY (model_id, round_id, name_id),
            FOREIGN KEY (round_id, model_id) REFERENCES round_model
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE model_task (
            round_id INTEGER NOT NULL,
            model_id INTEGER NOT NULL,
            task_id INTEGER NOT NULL REFERENCES task,
            PRIMARY KEY (model_id, round_id, task_id),
            FOREIGN KEY (round_id, model_id) REFERENCES round_model
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX model_task_task ON model_task (task_id);

        CREATE TABLE model_parent (
            round_id INTEGER NOT NULL,
            model_id INTEGER NOT NULL,
            parent_id INTEGER NOT NULL REFERENCES model CHECK (parent_id <> model_id),
            PRIMARY KEY (model_id, round_id, parent_id),
            FOREIGN KEY (round_id, model_id) REFERENCES round_model
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX model_parent_parent ON model_parent (parent_id);

        CREATE TABLE model_dataset (
            round_id INTEGER NOT NULL,
            model_id INTEGER NOT NULL,
            dataset_id INTEGER NOT NULL,
            PRIMARY KEY (model_id, round_id, dataset_id),
            FOREIGN KEY (round_id, model_id) REFERENCES round_model,
            FOREIGN KEY (round_id, dataset_id) REFERENCES round_dataset
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX model_dataset_dataset ON model_dataset (dataset_id);

        CREATE TABLE adapter (
            round_id INTEGER NOT NULL REFERENCES round,
            kind_id INTEGER NOT NULL REFERENCES word,
            subject_id INTEGER NOT NULL REFERENCES word,
            task_id INTEGER REFERENCES task,
            model_id INTEGER REFERENCES model,
            sample_count INTEGER NOT NULL CHECK (sample_count >= 0),
            -- A JSON array of numbers, each the shortest text that reads back as the same 32-bit float.
            weights TEXT NOT NULL CHECK (weights GLOB '[[]*]'),
            PRIMARY KEY (kind_id, subject_id, round_id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX adapter_round ON adapter (round_id);

        CREATE TABLE sample_state (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE
        ) STRICT;
        INSERT INTO sample_state VALUES (1, 'labelled'), (2, 'unseen'), (3, 'hard'), (4, 'quarantine');

        -- Ordered by sample, so that the rounds of one sample are neighbours and the newest is found without a sort.
        CREATE TABLE sample (
            job_id INTEGER NOT NULL,
            dataset_id INTEGER NOT NULL,
            "key" ANY NOT NULL CHECK (typeof("key") IN ('integer', 'text')),
            round_id INTEGER NOT NULL,
            state_id INTEGER NOT NULL REFERENCES sample_state,
            task_id INTEGER REFERENCES task,
            score REAL,
            PRIMARY KEY (job_id, dataset_id, "key", round_id),
            FOREIGN KEY (round_id, job_id) REFERENCES round (id, job_id),
            FOREIGN KEY (round_id, dataset_id) REFERENCES round_dataset
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE relation (
            round_id INTEGER NOT NULL REFERENCES round,
            kind_id INTEGER NOT NULL REFERENCES word,
            from_id INTEGER NOT NULL REFERENCES task,
            to_id INTEGER NOT NULL REFERENCES task,
            value REAL NOT NULL,
            row_count INTEGER CHECK (row_count >= 0),
            PRIMARY KEY (round_id, kind_id, from_id, to_id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX relation_from ON relation (from_id);
        CREATE INDEX relation_to ON relation (to_id);

        CREATE TABLE decision (
            round_id INTEGER NOT NULL REFERENCES round,
            -- Counted from 0, in the order in which they were taken.
            position INTEGER NOT NULL CHECK (position >= 0),
            action_id INTEGER NOT NULL REFERENCES word,
            task_id INTEGER REFERENCES task,
            model_id INTEGER REFERENCES model,
            subject TEXT CHECK (subject <> ''),
            value_before REAL,
            value_after REAL,
            reason TEXT NOT NULL CHECK (reason <> ''),
            PRIMARY KEY (round_id, position)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX decision_task ON decision (task_id);
        CREATE INDEX decision_model ON decision (model_id);

        CREATE TABLE decision_figure (
            round_id INTEGER NOT NULL,
            position INTEGER NOT NULL,
            name_id INTEGER NOT NULL REFERENCES word,
            value REAL NOT NULL,
            PRIMARY KEY (round_id, position, name_id),
            FOREIGN KEY (round_id, position) REFERENCES decision
        ) STRICT, WITHOUT ROWID;

        CREATE VIEW rounds AS
        SELECT j.namespace || '/' || j.name AS job, r.number AS round, r.pod AS pod,
            strftime('%Y-%m-%dT%H:%M:%SZ', r.recorded_at, 'unixepoch') AS recorded_at,
            (SELECT count(*) FROM round_task t WHERE t.round_id = r.id) AS tasks,
            (SELECT count(*) FROM round_model m WHERE m.round_id = r.id) AS models,
            (SELECT count(*) FROM adapter a WHERE a.round_id = r.id) AS adapters,
            r.sample_count AS samples,
            (SELECT count(*) FROM relation e WHERE e.round_id = r.id) AS relations,
            (SELECT count(*) FROM decision d WHERE d.round_id = r.id) AS decisions,
            (SELECT group_concat(text || '=' || value, ', ') FROM (SELECT w.text, m.value FROM round_metric m JOIN word w ON w.id = m.name_id
                WHERE m.round_id = r.id ORDER BY w.text)) AS metrics, r.id AS id
        FROM round r JOIN job j ON j.id = r.job_id;

        CREATE VIEW round_metrics AS
        SELECT j.namespace || '/' || j.name AS job, r.number AS round, r.pod AS pod, w.text AS metric, m.value AS value
        FROM round_metric m JOIN round r ON r.id = m.round_id JOIN job j ON j.id = r.job_id JOIN word w ON w.id = m.name_id;

        CREATE VIEW task_attributes AS
        SELECT j.namespace || '/' || j.name AS job, t.name AS task, w.text AS attribute, a.value AS value
        FROM task_attribute a JOIN task t ON t.id = a.task_id JOIN job j ON j.id = t.job_id JOIN word w ON w.id = a.name_id;

        CREATE VIEW task_metrics AS
        SELECT j.namespace || '/' || j.name AS job, t.name AS task, r.number AS round, r.pod AS pod, w.text AS metric, m.value AS value
        FROM task_metric m JOIN task t ON t.id = m.task_id JOIN round r ON r.id = m.round_id JOIN job j ON j.id = r.job_id
            JOIN word w ON w.id = m.name_id;

        CREATE VIEW model_metrics AS
        SELECT j.namespace || '/' || j.name AS job, o.digest AS model, r.number AS round, r.pod AS pod, w.text AS metric, m.value AS value
        FROM model_metric m JOIN model o ON o.id = m.model_id JOIN round r ON r.id = m.round_id JOIN job j ON j.id = r.job_id
            JOIN word w ON w.id = m.name_id;

        CREATE VIEW decisions AS
        SELECT j.namespace || '/' || j.name AS job, r.number AS round, r.pod AS pod, d.position + 1 AS step, a.text AS action,
            t.name AS task, m.digest AS model, d.subject AS subject, d.value_before AS before, d.value_after AS after,
            d.reason AS reason,
            (SELECT group_concat(text || '=' || value, ', ') FROM (SELECT w.text, f.value FROM decision_figure f JOIN word w ON w.id = f.name_id
                WHERE f.round_id = d.round_id AND f.position = d.position ORDER BY w.text)) AS figures, d.round_id AS round_id
        FROM decision d JOIN round r ON r.id = d.round_id JOIN job j ON j.id = r.job_id JOIN word a ON a.id = d.action_id
            LEFT JOIN task t ON t.id = d.task_id LEFT JOIN model m ON m.id = d.model_id;

        -- What the last deploy decision put where: one row for each task, and one without a task for a model that serves all.
        CREATE VIEW serving AS
        SELECT job, task, model, round FROM (
            SELECT job, task, model, round, row_number() OVER (PARTITION BY job, task ORDER BY round DESC, pod DESC, step DESC) AS place
            FROM decisions WHERE action = 'deploy' AND model IS NOT NULL)
        WHERE place = 1;

        CREATE VIEW tasks AS
        SELECT j.namespace || '/' || j.name AS job, t.name AS task,
            (SELECT group_concat(text || '=' || value, ', ') FROM (SELECT w.text, a.value FROM task_attribute a JOIN word w ON w.id = a.name_id
                WHERE a.task_id = t.id ORDER BY w.text)) AS attributes,
            min(r.number) AS first_round, max(r.number) AS last_round, sum(rt.sample_count) AS samples,
            (SELECT group_concat(text || '=' || value, ', ') FROM (SELECT w.text, m.value FROM task_metric m JOIN word w ON w.id = m.name_id
                WHERE m.task_id = t.id AND m.round_id = (SELECT x.id FROM round_task y JOIN round x ON x.id = y.round_id
                    WHERE y.task_id = t.id ORDER BY x.number DESC, x.id DESC LIMIT 1)
                ORDER BY w.text)) AS metrics,
            t.id AS id
        FROM task t JOIN job j ON j.id = t.job_id JOIN round_task rt ON rt.task_id = t.id JOIN round r ON r.id = rt.round_id
        GROUP BY t.id;

        CREATE VIEW models AS
        SELECT j.namespace || '/' || j.name AS job, m.digest AS model, n.text AS name, r.number AS round, r.pod AS pod,
            f.text AS format, m.size_bytes AS size_bytes,
            (SELECT group_concat(name, ', ') FROM (SELECT t.name FROM model_task mt JOIN task t ON t.id = mt.task_id
                WHERE mt.model_id = m.id AND mt.round_id = r.id ORDER BY t.name)) AS tasks,
            (SELECT group_concat(digest, ', ') FROM (SELECT substr(p.digest, 1, 12) AS digest FROM model_parent mp JOIN model p ON p.id = mp.parent_id
                WHERE mp.model_id = m.id AND mp.round_id = r.id ORDER BY p.digest)) AS parents,
            (SELECT group_concat(data, ', ') FROM (SELECT d.name || '@' || substr(d.digest, 1, 12) AS data FROM model_dataset md
                JOIN dataset d ON d.id = md.dataset_id
                WHERE md.model_id = m.id AND md.round_id = r.id ORDER BY d.name)) AS datasets,
            EXISTS (SELECT 1 FROM serving s WHERE s.job = j.namespace || '/' || j.name AND s.model = m.digest) AS is_serving,
            (SELECT group_concat(text || '=' || value, ', ') FROM (SELECT w.text, x.value FROM model_metric x JOIN word w ON w.id = x.name_id
                WHERE x.model_id = m.id AND x.round_id = r.id ORDER BY w.text)) AS metrics, m.id AS id, r.id AS round_id
        FROM round_model rm JOIN model m ON m.id = rm.model_id JOIN round r ON r.id = rm.round_id JOIN job j ON j.id = m.job_id
            JOIN word n ON n.id = rm.name_id JOIN word f ON f.id = m.format_id;

        CREATE VIEW datasets AS
        SELECT j.namespace || '/' || j.name AS job, r.number AS round, r.pod AS pod, d.name AS dataset, d.digest AS digest,
            d.row_count AS row_count
        FROM round_dataset rd JOIN round r ON r.id = rd.round_id JOIN job j ON j.id = r.job_id JOIN dataset d ON d.id = rd.dataset_id;

        CREATE VIEW adapters AS
        SELECT j.namespace || '/' || j.name AS job, r.number AS round, r.pod AS pod, k.text AS kind, s.text AS subject, t.name AS task,
            m.digest AS model, a.sample_count AS samples, a.weights AS weights
        FROM adapter a JOIN round r ON r.id = a.round_id JOIN job j ON j.id = r.job_id JOIN word k ON k.id = a.kind_id
            JOIN word s ON s.id = a.subject_id LEFT JOIN task t ON t.id = a.task_id LEFT JOIN model m ON m.id = a.model_id;

        CREATE VIEW sample_history AS
        SELECT j.namespace || '/' || j.name AS job, d.name AS dataset, x."key" AS "key", r.number AS round, r.pod AS pod,
            s.name AS state, t.name AS task, x.score AS score
        FROM sample x JOIN job j ON j.id = x.job_id JOIN dataset d ON d.id = x.dataset_id JOIN round r ON r.id = x.round_id
            JOIN sample_state s ON s.id = x.state_id LEFT JOIN task t ON t.id = x.task_id;

        -- Each sample as the newest round left it: SQLite takes the other columns from the row that holds the maximum.
        CREATE VIEW samples AS
        SELECT j.namespace || '/' || j.name AS job, d.name AS dataset, c."key" AS "key", s.name AS state, t.name AS task,
            c.score AS score, c.newest / 1000000000 AS round
        FROM (
            SELECT x.job_id, x.dataset_id, x."key", x.state_id, x.task_id, x.score, max(r.number * 1000000000 + r.id) AS newest
            FROM sample x JOIN round r ON r.id = x.round_id
            GROUP BY x.job_id, x.dataset_id, x."key"
        ) c JOIN job j ON j.id = c.job_id JOIN dataset d ON d.id = c.dataset_id JOIN sample_state s ON s.id = c.state_id
            LEFT JOIN task t ON t.id = c.task_id;

        CREATE VIEW relations AS
        SELECT j.namespace || '/' || j.name AS job, r.number AS round, r.pod AS pod, k.text AS kind, f.name AS from_task, o.name AS to_task,
            e.value AS value, e.row_count AS "rows"
        FROM relation e JOIN round r ON r.id = e.round_id JOIN job j ON j.id = r.job_id JOIN word k ON k.id = e.kind_id
            JOIN task f ON f.id = e.from_id JOIN task o ON o.id = e.to_id;
        """

    /// A kept model is deployed as a new file when its corrections were fitted anew: what serves is what the newest decision left there.
    static let step2 = """
        DROP VIEW serving;
        CREATE VIEW serving AS
        SELECT job, task, model, round FROM (
            SELECT job, task, model, round, row_number() OVER (PARTITION BY job, task ORDER BY round DESC, pod DESC, step DESC) AS place
            FROM decisions WHERE action IN ('deploy', 'keep') AND model IS NOT NULL)
        WHERE place = 1;
        """

    /// The R matrix of a job, by names of figures as `R[3][1]`: after round 3, on the rows of round 1. What a round decided does not serve where
    /// the job's own gate held it back, or its version was taken back later.
    static let step3 = """
        CREATE VIEW matrix AS
        SELECT job, CAST(substr(metric, 3, instr(metric, '][') - 3) AS INTEGER) AS after_round,
            CAST(substr(metric, instr(metric, '][') + 2) AS INTEGER) AS on_round, value AS accuracy, round AS recorded_in
        FROM round_metrics WHERE metric GLOB 'R[[][0-9]*][[][0-9]*]';

        DROP VIEW serving;
        CREATE VIEW serving AS
        SELECT job, task, model, round FROM (
            SELECT job, task, model, round, row_number() OVER (PARTITION BY job, task ORDER BY round DESC, pod DESC, step DESC) AS place
            FROM decisions WHERE action IN ('deploy', 'keep') AND model IS NOT NULL
                AND (job, round) NOT IN (SELECT job, round FROM decisions WHERE action IN ('hold', 'rollback')))
        WHERE place = 1;
        """
}
