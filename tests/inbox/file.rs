//! Tests of the inbox's file: how it is created, opened, locked and rejected.

use std::{fs, time::Duration};

use twenty_webhook::inbox::{Accepted, InboxErrorKind};

use super::*;

fn open_at_once(path: &std::path::Path) -> Result<Inbox, twenty_webhook::inbox::InboxError> {
    Inbox::builder().lock_timeout(Duration::ZERO).open(path)
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_open_a_new_file() {
    use std::os::unix::fs::PermissionsExt;

    let path = path("mode");
    let _inbox = Inbox::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn creating_a_file_leaves_no_other_files() {
    let path = path("alone");
    let _inbox = Inbox::open(&path).unwrap();
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["inbox.redb"]);
}

#[tokio::test]
async fn an_empty_file_becomes_an_inbox() {
    let path = path("empty");
    fs::write(&path, "").unwrap();
    let inbox = Inbox::open(&path).unwrap();
    assert_eq!(inbox.accept(note(1)).await.unwrap(), Accepted::Stored);
}

/// The link may lead to a volume for data that is mounted elsewhere.
#[cfg(unix)]
#[test]
fn an_empty_file_behind_a_symbolic_link_becomes_an_inbox() {
    let (link, target) = (path("link"), path("target"));
    fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let _inbox = Inbox::open(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::metadata(&target).unwrap().len() > 0);
}

#[test]
fn an_open_file_is_locked() {
    let path = path("locked");
    let first = open_at_once(&path).unwrap();
    let refused = open_at_once(&path).unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Locked);
    drop(first);
}

/// This happens in a rolling restart.
#[tokio::test]
async fn opening_waits_until_the_file_is_closed() {
    for timeout in [InboxBuilder::DEFAULT_LOCK_TIMEOUT, Duration::MAX] {
        let path = path("waits");
        let first = Inbox::open(&path).unwrap();
        first.accept(note(1)).await.unwrap();
        let (began, begun) = std::sync::mpsc::channel();
        let second = tokio::task::spawn_blocking({
            let path = path.clone();
            move || {
                began.send(()).unwrap();
                Inbox::builder().lock_timeout(timeout).open(path)
            }
        });
        begun.recv().unwrap();
        // An attempt that does not wait would fail within this time.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!second.is_finished(), "{timeout:?}");
        drop(first);
        assert_eq!(second.await.unwrap().unwrap().stats().await.unwrap().ready, 1);
    }
}

#[test]
fn foreign_and_damaged_files_are_rejected() {
    let path = path("others");
    for content in [b"A diary.\n".repeat(1_000), vec![0; 100_000], b"x".to_vec()] {
        fs::write(&path, &content).unwrap();
        let refused = open_at_once(&path).unwrap_err();
        assert_eq!(refused.kind(), InboxErrorKind::Damaged, "{refused:?}");
        assert!(fs::read(&path).unwrap() == content, "it is unchanged");
    }
}

#[test]
fn impossible_paths_are_rejected() {
    let directory = path("nowhere");
    for (path, kind) in [
        (directory.with_file_name("none").join("inbox.redb"), InboxErrorKind::Unavailable),
        (directory.parent().unwrap().to_owned(), InboxErrorKind::Settings),
    ] {
        let refused = open_at_once(&path).unwrap_err();
        assert_eq!(refused.kind(), kind, "{}: {refused:?}", path.display());
    }
}

/// Threads stand for processes that start at the same time. They create one inbox, and each stores
/// its event.
#[test]
fn concurrent_opens_create_one_inbox() {
    let path = path("race");
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let path = path.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let inbox = Inbox::open(path).unwrap();
                    assert_eq!(inbox.accept(note(number)).await.unwrap(), Accepted::Stored);
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inbox = Inbox::open(&path).unwrap();
    assert_eq!(runtime.block_on(inbox.stats()).unwrap().ready, 8);
}

/// The command-line tool reads files in this way.
#[tokio::test]
async fn a_file_can_be_read_while_it_is_open_for_writing() {
    let path = path("read");
    let writer = Inbox::open(&path).unwrap();
    writer.accept(note(1)).await.unwrap();
    let reader = Inbox::builder().open_read_only(&path).unwrap();
    assert_eq!(reader.stats().await.unwrap().ready, 1);
    // The reader sees new events, and does not block the writer.
    writer.accept(note(2)).await.unwrap();
    assert_eq!(reader.stats().await.unwrap(), writer.stats().await.unwrap());
    assert!(reader.dead_letters().next().await.unwrap().is_none());
    for refused in [reader.redrive_all().await, reader.purge_all().await] {
        assert_eq!(refused.unwrap_err().kind(), InboxErrorKind::Settings);
    }
    let missing = Inbox::builder().open_read_only(path.with_file_name("missing")).unwrap_err();
    assert_eq!(missing.kind(), InboxErrorKind::Unavailable);
}
