use rusqlite::{Connection, StatementStatus};

use super::{Database, DatabaseError, OpenError, Schema, WriteError};

const SCHEMA: Schema = Schema { name: "test", steps: &["CREATE TABLE t(v INTEGER NOT NULL)"] };

fn insert(connection: &Connection, value: i64) -> Result<(), rusqlite::Error> {
    connection.execute("INSERT INTO t(v) VALUES (?1)", [value]).map(|_rows| ())
}

async fn stored(database: &Database) -> Vec<i64> {
    let read = database.read(|connection| {
        let mut statement = connection.prepare("SELECT v FROM t ORDER BY v").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<Vec<i64>, _>>().unwrap()
    });
    read.await.unwrap()
}

#[tokio::test]
async fn a_job_that_gives_up_takes_back_only_itself() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
    let jobs = (0..100).map(|value| {
        database.write(move |connection| {
            insert(connection, value).unwrap();
            if value % 2 == 0 { Ok(()) } else { Err("odd") }
        })
    });
    let results = futures_util::future::join_all(jobs).await;
    assert_eq!(results.iter().filter(|result| matches!(result, Err(WriteError::Job("odd")))).count(), 50);
    assert_eq!(stored(&database).await, (0..100).step_by(2).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_job_that_panics_takes_back_only_itself() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
    let result = database
        .write(|connection| -> Result<(), ()> {
            insert(connection, 1).unwrap();
            panic!("a fault of the job");
        })
        .await;
    assert!(matches!(result, Err(WriteError::Database(DatabaseError::Panicked))));
    database.write(|connection| insert(connection, 2)).await.unwrap();
    assert_eq!(stored(&database).await, [2]);
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
    assert!(matches!(Database::open(directory.path(), &[SCHEMA]), Err(OpenError::InUse { .. })));
    database.write(|connection| insert(connection, 1)).await.unwrap();
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("vitalwire.db"), "not a database, and long enough to be read as one").unwrap();
    let error = Database::open(directory.path(), &[SCHEMA]).unwrap_err();
    assert!(matches!(&error, OpenError::Broken { path, .. } if path.ends_with("vitalwire.db")), "{error}");
}

#[test]
fn a_file_of_a_newer_program_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let newer = Schema { name: "test", steps: &["CREATE TABLE a(v)", "CREATE TABLE b(v)"] };
    drop(open_when_free(directory.path(), newer));
    let error = loop {
        match Database::open(directory.path(), &[SCHEMA]) {
            Err(OpenError::InUse { .. }) => std::thread::yield_now(),
            other => break other.unwrap_err(),
        }
    };
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_file_laid_out_in_other_steps_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    Database::open(directory.path(), &[SCHEMA]).unwrap().close().await;
    let other = Schema { name: "test", steps: &["CREATE TABLE t(v TEXT NOT NULL)"] };
    let error = Database::open(directory.path(), &[other]).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { schema: "test", .. }), "{error}");
    assert_eq!(stored(&Database::open(directory.path(), &[SCHEMA]).unwrap()).await, [0_i64; 0]);
}

#[test]
fn a_database_of_something_else_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let other = Connection::open(directory.path().join("vitalwire.db")).unwrap();
    other.execute_batch("CREATE TABLE other(v)").unwrap();
    drop(other);
    let error = Database::open(directory.path(), &[SCHEMA]).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
}

fn open_when_free(directory: &std::path::Path, schema: Schema) -> Database {
    Database::open(directory, &[schema]).unwrap()
}

#[tokio::test]
async fn closing_finishes_what_waits_empties_the_log_and_frees_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
    let writes = (0..100).map(|value| database.write(move |connection| insert(connection, value)));
    let (results, ()) = futures_util::future::join(futures_util::future::join_all(writes), database.close()).await;
    assert!(results.iter().all(Result::is_ok));
    assert!(matches!(
        database.write(|connection| insert(connection, 0)).await,
        Err(WriteError::Database(DatabaseError::Closed))
    ));
    assert!(matches!(database.read(|_connection| ()).await, Err(DatabaseError::Closed)));
    assert!(!directory.path().join("vitalwire.db-wal").exists());
    database.close().await;
    let reopened = Database::open(directory.path(), &[SCHEMA]).unwrap();
    assert_eq!(stored(&reopened).await.len(), 100);
}

const ENDLESS: &str = "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n) SELECT count(*) FROM n";

#[tokio::test]
async fn what_takes_long_is_given_up_on_the_callers_thread_and_has_its_time_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
    let up_to = |most: i64| {
        move |connection: &Connection| {
            let sql =
                "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < ?1) SELECT count(*) FROM n";
            connection.query_row(sql, [most], |row| row.get::<_, i64>(0)).ok()
        }
    };
    for _ in 0..2 * super::READERS_MAX {
        assert_eq!(database.try_here(up_to(100)).await.unwrap(), Some(Some(100)));
        assert_eq!(database.try_here(up_to(100_000)).await.unwrap(), None);
        assert_eq!(database.read_here(up_to(100_000)).await.unwrap(), Some(100_000));
    }
}

#[tokio::test]
async fn a_query_ends_when_nobody_waits_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
    for _ in 0..2 * super::READERS_MAX {
        let (started, has_started) = tokio::sync::oneshot::channel();
        let (ended, has_ended) = tokio::sync::oneshot::channel();
        let query = database.read(move |connection| {
            started.send(()).unwrap();
            ended.send(connection.query_row(ENDLESS, [], |row| row.get::<_, i64>(0))).unwrap();
        });
        let query = Box::pin(query);
        drop(futures_util::future::select(query, has_started).await);
        let interrupted = has_ended.await.unwrap().unwrap_err();
        assert_eq!(interrupted.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
    }
    assert_eq!(stored(&database).await, [0_i64; 0]);
}

#[tokio::test]
async fn a_statement_is_planned_once_whatever_is_bound_to_it() {
    let schema = Schema {
        name: "test",
        steps: &["CREATE TABLE t(v INTEGER NOT NULL, w INTEGER NOT NULL); CREATE INDEX some ON t(v) WHERE w <> 4"],
    };
    let plans_again = |connection: &Connection| {
        let mut statement = connection.prepare_cached("SELECT count(*) FROM t WHERE v = ?1 AND w = ?2").unwrap();
        for value in 0..3 {
            statement.query_row([value, value], |row| row.get::<_, i64>(0)).unwrap();
        }
        statement.get_status(StatementStatus::RePrepare)
    };
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), &[schema]).unwrap();
    assert_eq!(database.read(plans_again).await.unwrap(), 0);
    let written = database.write(move |connection| Ok::<_, ()>(plans_again(connection)));
    assert_eq!(written.await.unwrap(), 0);
}

#[tokio::test]
async fn a_schema_moves_forward_step_by_step_and_keeps_what_is_stored() {
    const LATER: Schema = Schema {
        name: "test",
        steps: &["CREATE TABLE t(v INTEGER NOT NULL)", "ALTER TABLE t ADD COLUMN w INTEGER", "UPDATE t SET w = v * 10"],
    };
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
    database.write(|connection| insert(connection, 7)).await.unwrap();
    database.close().await;
    for _ in 0..2 {
        let database = Database::open(directory.path(), &[LATER]).unwrap();
        let added = database.read(|connection| connection.query_row("SELECT w FROM t", [], |row| row.get::<_, i64>(0)));
        assert_eq!(added.await.unwrap().unwrap(), 70);
        database.close().await;
    }
    let error = Database::open(directory.path(), &[SCHEMA]).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 3, known: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn a_step_that_fails_leaves_the_schema_as_it_was() {
    const FAILING: Schema = Schema {
        name: "test",
        steps: &["CREATE TABLE t(v INTEGER NOT NULL)", "DROP TABLE t; INSERT INTO nowhere VALUES (1)"],
    };
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
    database.write(|connection| insert(connection, 7)).await.unwrap();
    database.close().await;
    assert!(matches!(Database::open(directory.path(), &[FAILING]), Err(OpenError::Broken { .. })));
    let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
    assert_eq!(stored(&database).await, [7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_short_under_readers_that_overlap_all_the_time() {
    const BLOB: &str = "INSERT INTO blobs(v) VALUES (zeroblob(40000))";
    let directory = tempfile::tempdir().unwrap();
    let blobs = Schema { name: "blobs", steps: &["CREATE TABLE blobs(v BLOB)"] };
    let database = Database::open(directory.path(), &[blobs]).unwrap();
    let done = tokio_util::sync::CancellationToken::new();
    let readers = (0..3).map(|_| async {
        while !done.is_cancelled() {
            let sum = "SELECT sum(length(hex(v))) FROM blobs";
            database.read(move |connection| connection.query_row(sum, [], |_row| Ok(()))).await.unwrap().unwrap();
        }
    });
    let writer = async {
        let log = directory.path().join("vitalwire.db-wal");
        let mut longest = 0;
        for _ in 0..100 {
            database.write(|connection| connection.execute(BLOB, [])).await.unwrap();
            longest = longest.max(log.metadata().unwrap().len());
        }
        done.cancel();
        longest
    };
    let (longest, _ended) = futures_util::future::join(writer, futures_util::future::join_all(readers)).await;
    // 4 MB are written. A wait for readers may end without them having ended, so the log may pass its bound once or twice.
    assert!(longest < 2_000_000, "{longest}");
}
