-- Resources and what they are found by.
--
-- A resource has a number for life: its type in the upper bits, a sequence in the lower 40, so that ranges of numbers are
-- types and the order of numbers is the order of first writing. `resources` is narrow, because filters read it row by
-- row; bodies live beside it and are only appended.

CREATE TABLE resource_types(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- Repeated texts by number: parameters (`Observation.code`), systems, units (see amounts.rs), targets of references.
CREATE TABLE strings(
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
);

CREATE TABLE resources(
    number INTEGER PRIMARY KEY,
    type INTEGER NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    changed INTEGER NOT NULL,   -- microseconds since 1970, whole milliseconds
    method INTEGER NOT NULL,    -- 1 POST, 2 PUT, 3 PATCH, 4 DELETE
    body INTEGER,               -- row of `bodies`; NULL when deleted
    entries BLOB NOT NULL       -- what it is found by, packed; the rows of the index tables say the same
);
CREATE UNIQUE INDEX resources_by_id ON resources(type, id);
CREATE INDEX resources_by_change ON resources(type, changed) WHERE method <> 4;
-- Apart, so that resources are counted without a look at their rows.
CREATE INDEX deletions_by_change ON resources(type, changed) WHERE method = 4;

-- Texts of the service about all resources together, which the store does not read. `changes`: how often each was written.
CREATE TABLE notes(
    name TEXT PRIMARY KEY,
    changes INTEGER NOT NULL,
    text BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE bodies(
    number INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);

-- Versions that have been superseded; the current one is in `resources`. `until` is when: the `changed` of the next one.
CREATE TABLE history(
    resource INTEGER NOT NULL,
    version INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    until INTEGER NOT NULL,
    method INTEGER NOT NULL,
    body INTEGER,
    PRIMARY KEY(resource, version)
) WITHOUT ROWID;
-- By type, which is in the upper bits of the number.
CREATE INDEX history_by_change ON history(resource >> 40, changed);

-- One table for each kind of index value. The primary key is the index, there is no other tree. A deleted resource has
-- no rows here. Keys shared by many resources grow at their ends, since numbers increase.

CREATE TABLE index_token(
    parameter INTEGER NOT NULL, code TEXT NOT NULL, system INTEGER NOT NULL, resource INTEGER NOT NULL,
    PRIMARY KEY(parameter, code, system, resource)
) WITHOUT ROWID;

CREATE TABLE index_reference(
    parameter INTEGER NOT NULL, target INTEGER NOT NULL, resource INTEGER NOT NULL,
    PRIMARY KEY(parameter, target, resource)
) WITHOUT ROWID;

-- By end first: newest first is by the end, and `Within` bounds the end on both sides.
CREATE TABLE index_date(
    parameter INTEGER NOT NULL, "end" INTEGER NOT NULL, start INTEGER NOT NULL, resource INTEGER NOT NULL,
    PRIMARY KEY(parameter, "end", start, resource)
) WITHOUT ROWID;

CREATE TABLE index_number(
    parameter INTEGER NOT NULL, value REAL NOT NULL, resource INTEGER NOT NULL,
    PRIMARY KEY(parameter, value, resource)
) WITHOUT ROWID;

CREATE TABLE index_quantity(
    parameter INTEGER NOT NULL, unit INTEGER NOT NULL, value REAL NOT NULL, resource INTEGER NOT NULL,
    PRIMARY KEY(parameter, unit, value, resource)
) WITHOUT ROWID;

-- Amounts of which only the limits are known; apart from the others, so that those have a bound on both sides.
CREATE TABLE index_range(
    parameter INTEGER NOT NULL, unit INTEGER NOT NULL, low REAL NOT NULL, high REAL NOT NULL, resource INTEGER NOT NULL,
    PRIMARY KEY(parameter, unit, low, high, resource)
) WITHOUT ROWID;

CREATE TABLE index_string(
    parameter INTEGER NOT NULL, folded TEXT NOT NULL, exact TEXT NOT NULL, resource INTEGER NOT NULL,
    PRIMARY KEY(parameter, folded, exact, resource)
) WITHOUT ROWID;

CREATE TABLE index_uri(
    parameter INTEGER NOT NULL, uri TEXT NOT NULL, resource INTEGER NOT NULL,
    PRIMARY KEY(parameter, uri, resource)
) WITHOUT ROWID;

-- What resources say of a concept about a subject, by time: the newest of each kind are the last rows of their stretches.
CREATE TABLE index_series(
    parameter INTEGER NOT NULL, subject INTEGER NOT NULL, concept INTEGER NOT NULL, "end" INTEGER NOT NULL,
    resource INTEGER NOT NULL,
    PRIMARY KEY(parameter, subject, concept, "end", resource)
) WITHOUT ROWID;
