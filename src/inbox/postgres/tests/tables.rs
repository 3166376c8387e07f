//! Creating, finding and rejecting the table, and keeping secrets out of errors.

use super::{
    super::{
        super::{
            Inbox, InboxErrorKind,
            model::{BOUNDS, event},
            store::{Put, Store},
        },
        sql::VERSION,
    },
    *,
};

async fn connect(server: &Server, options: &PostgresOptions) -> Result<PgStore, InboxError> {
    PgStore::connect(Connector::without_tls(&server.url()).unwrap(), options, BOUNDS).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn tables_are_created_reused_or_rejected() {
    let server = Server::start(&[]);
    processes_that_migrate_concurrently_create_one_table(&server).await;
    names_may_contain_anything(&server).await;
    other_versions_are_rejected(&server).await;
    a_user_without_the_right_to_create_can_use_an_existing_table(&server).await;
    puts_are_on_disk_with_any_default_settings(&server).await;
    errors_and_debug_show_no_secret(&server).await;
}

async fn processes_that_migrate_concurrently_create_one_table(server: &Server) {
    let options = options();
    let url = server.url();
    let connecting = (0..8_u64).map(|number| {
        let (options, url) = (options.clone(), url.clone());
        tokio::spawn(async move {
            let store = PgStore::connect(Connector::without_tls(&url).unwrap(), &options, BOUNDS).await.unwrap();
            assert_eq!(store.put(event(number)).await.unwrap(), Put::Stored);
            store
        })
    });
    let mut stores = Vec::new();
    for connected in connecting.collect::<Vec<_>>() {
        stores.push(connected.await.unwrap());
    }
    assert_eq!(stores[0].stats().await.unwrap().ready, 8);
    let version = options.names.schema.replace('"', "\"\"");
    assert_eq!(server.sql(&format!(r#"SELECT version FROM "{version}".inbox_version"#)), [VERSION.to_string()]);
}

async fn names_may_contain_anything(server: &Server) {
    for (schema, table) in [(r#"a"b"#, r#"c"; DROP TABLE x; --"#), ("Groß 'x'", "$1 \\ %s"), ("select", "table")] {
        let names = Names { schema: schema.into(), table: table.into() };
        let options = PostgresOptions { names, ..options() };
        for expected in [Put::Stored, Put::Duplicate] {
            let store = connect(server, &options).await.unwrap();
            assert_eq!(store.put(event(1)).await.unwrap(), expected, "{schema} {table}");
            assert_eq!(store.stats().await.unwrap().ready, 1);
        }
    }
}

async fn other_versions_are_rejected(server: &Server) {
    let options = options();
    let store = connect(server, &options).await.unwrap();
    let version = |version: &str| {
        server.sql(&format!("UPDATE \"{}\".inbox_version SET version = {version}", options.names.schema))
    };
    version("2");
    let refused = connect(server, &options).await.unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::NewerVersion, "{refused:?}");
    // A process that was connected when the table was changed rejects it when it reconnects.
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'twenty-webhook'");
    let refused = loop {
        match store.stats().await {
            Err(error) if error.kind() == InboxErrorKind::Unavailable => {}
            Err(error) => break error,
            Ok(_) => panic!("the table must be rejected"),
        }
    };
    assert_eq!(refused.kind(), InboxErrorKind::NewerVersion, "{refused:?}");
    version("0");
    assert_eq!(connect(server, &options).await.unwrap_err().kind(), InboxErrorKind::Damaged);
}

async fn a_user_without_the_right_to_create_can_use_an_existing_table(server: &Server) {
    server.sql("CREATE ROLE reader LOGIN");
    let builder = || Inbox::builder().schema("by hand").table("events");
    let url = server.url_of("reader", "postgres");
    let refused = builder().connect(&url).await.unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Settings, "{refused:?}");
    server.sql(&builder().migration_sql().unwrap());
    server.sql(
        r#"GRANT USAGE ON SCHEMA "by hand" TO reader;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "by hand" TO reader"#,
    );
    let inbox = builder().connect(&url).await.unwrap();
    assert_eq!(inbox.inner.store.put(event(1)).await.unwrap(), Put::Stored);
    assert_eq!(inbox.erase_record("1").await.unwrap(), 1);
}

async fn puts_are_on_disk_with_any_default_settings(server: &Server) {
    server.sql("ALTER DATABASE postgres SET synchronous_commit = off");
    server.sql("ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'");
    let options = options();
    let store = connect(server, &options).await.unwrap();
    let table = &store.shared.table;
    server.sql(&format!(
        "CREATE TABLE seen (setting text);
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO seen VALUES (current_setting(''synchronous_commit'')),
        (current_setting(''transaction_isolation'')); RETURN NULL; END';
        CREATE TRIGGER see AFTER INSERT ON {table} EXECUTE FUNCTION see()"
    ));
    store.put(event(1)).await.unwrap();
    server.sql("ALTER DATABASE postgres RESET ALL");
    assert_eq!(server.sql("SELECT setting FROM seen"), ["on", "read committed"]);
}

async fn errors_and_debug_show_no_secret(server: &Server) {
    let socket = server.url_of("postgres:hunter2", "postgres");
    let inbox = Inbox::connect(&socket).await.unwrap();
    let shown = format!("{inbox:?}");
    assert!(!shown.contains("hunter2") && shown.contains("twenty_webhook"), "{shown}");
    for url in [
        "postgres://user:hunter2@127.0.0.1:1/x",
        "postgres://user:hunter2@[::1/x",
        "postgres://user:hunter2@host/x?hunter2=hunter2",
        "postgres://user:hunter2@host:port/x",
        "postgres://user:hunter2@host/x?sslmode=hunter2",
        "postgres://user:hunter2@host/x?sslmode=require",
        "user=x password=hunter2 hunter2",
        "hunter2",
        "",
        &server.url_of("nobody:hunter2", "postgres"),
        &server.url_of("postgres:hunter2", "nowhere"),
    ] {
        let error = Inbox::connect(url).await.unwrap_err();
        let expected = if url.contains("127.0.0.1") { InboxErrorKind::Unavailable } else { InboxErrorKind::Settings };
        assert_eq!(error.kind(), expected, "{url}: {error:?}");
        assert!(!texts(&error).contains("hunter2"), "{url}: {error:?}");
    }
    for builder in [Inbox::builder().schema(""), Inbox::builder().table(&"x".repeat(60))] {
        assert_eq!(builder.migration_sql().unwrap_err().kind(), InboxErrorKind::Settings);
        assert_eq!(builder.connect(&server.url()).await.unwrap_err().kind(), InboxErrorKind::Settings);
    }
}
