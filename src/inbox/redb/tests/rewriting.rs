//! The file is rewritten after a failed sync.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use redb::StorageBackend;

use super::{
    super::{
        super::{
            InboxErrorKind,
            store::{End, Put, Store},
        },
        file::FileOptions,
        rewrite::{self, Health, Watched},
    },
    *,
};

const OPTIONS: FileOptions =
    FileOptions { cache: CACHE, create_if_missing: true, lock_timeout: Duration::from_secs(60) };

/// A temporary directory.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("twenty-rewrite-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn inbox(&self) -> PathBuf {
        self.0.join("inbox.redb")
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open_at(path: &Path, health: &Health) -> RedbStore {
    RedbStore::open_watched(path, OPTIONS, BOUNDS, Arc::new(clock()), health.clone()).unwrap()
}

/// Returns whether the file at the path was replaced. While a file is open, no new file can get the
/// number of its inode.
fn is_replaced(before: &fs::File, path: &Path) -> bool {
    !file::is_same_file(&before.metadata().unwrap(), &fs::metadata(path).unwrap())
}

async fn is_unavailable(store: &RedbStore, number: u64) -> bool {
    store.put(event(number)).await.is_err_and(|error| error.kind() == InboxErrorKind::Unavailable)
}

/// Puts until the pause between attempts to rewrite the file has ended.
async fn put_after_pause(store: &RedbStore, number: u64) -> Put {
    loop {
        match store.put(event(number)).await {
            Err(error) if error.kind() == InboxErrorKind::Unavailable => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            put => return put.unwrap(),
        }
    }
}

async fn complete_all(store: &RedbStore) -> usize {
    let mut completed = 0;
    while let Some(taken) = store.take(take(1)).await.unwrap().events.pop() {
        assert!(store.end(taken.lease, End::Complete).await.unwrap());
        completed += 1;
    }
    completed
}

/// Waits until the store's thread has closed the file, and opens it.
async fn after_end(store: RedbStore, path: &Path) -> RedbStore {
    drop(store);
    open_at(path, &Health::default())
}

#[cfg(unix)]
#[test]
fn a_failed_sync_makes_the_inbox_rewrite_its_file() {
    use std::os::unix::fs::PermissionsExt as _;

    block_on(async {
        for is_link in [false, true] {
            let place = Place::new(&format!("rewritten-{is_link}"));
            let (path, health) = (place.inbox(), Health::default());
            let real = if is_link { place.0.join("real.redb") } else { path.clone() };
            if is_link {
                std::os::unix::fs::symlink(&real, &path).unwrap();
                drop(fs::File::create(&real).unwrap());
            }
            let store = open_at(&path, &health);
            for number in 0..20 {
                assert_eq!(store.put(event(number)).await.unwrap(), Put::Stored);
            }
            let running = store.take(take(1)).await.unwrap().events.pop().unwrap();
            fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
            let before = fs::File::open(&real).unwrap();
            health.is_broken.store(true, Ordering::Relaxed);
            for number in 20..24 {
                assert!(is_unavailable(&store, number).await);
            }
            assert!(!is_replaced(&before, &real), "it is not replaced while syncs fail");
            health.is_broken.store(false, Ordering::Relaxed);
            assert_eq!(put_after_pause(&store, 24).await, Put::Stored);
            assert!(is_replaced(&before, &real));
            assert!(!health.is_unsynced());
            assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
            let again = fs::File::open(&real).unwrap();
            assert!(store.end(running.lease, End::Complete).await.unwrap(), "the lease is still valid");
            assert!(!is_replaced(&again, &real), "once");
            // The failed puts may have been stored.
            let stored = store.stats().await.unwrap().ready;
            assert!((20..=24).contains(&stored), "{stored}");
            let store = after_end(store, &path).await;
            for number in (0..20).chain([24]) {
                assert_eq!(store.put(event(number)).await.unwrap(), Put::Duplicate, "{number}");
            }
            assert_eq!(complete_all(&store).await as u64, stored);
            let names = if is_link { vec!["inbox.redb", "real.redb"] } else { vec!["inbox.redb"] };
            assert_eq!(place.names(), names);
            assert_eq!(fs::symlink_metadata(&path).unwrap().is_symlink(), is_link);
        }
    });
}

/// While there is not enough space, the file is not changed.
#[test]
fn a_file_that_cannot_be_rewritten_stays_and_is_rewritten_later() {
    block_on(async {
        let place = Place::new("later");
        let (path, health) = (place.inbox(), Health::default());
        let store = open_at(&path, &health);
        store.put(event(0)).await.unwrap();
        let before = fs::File::open(&path).unwrap();
        // A directory has the name of the copy, and cannot be removed like a file.
        let obstacle = place.0.join("inbox.redb.rewrite.new");
        fs::create_dir(&obstacle).unwrap();
        health.is_broken.store(true, Ordering::Relaxed);
        assert!(is_unavailable(&store, 1).await);
        health.is_broken.store(false, Ordering::Relaxed);
        for number in 2..5 {
            assert!(is_unavailable(&store, number).await);
            assert_eq!(store.stats().await.unwrap_err().kind(), InboxErrorKind::Unavailable);
        }
        assert!(health.is_unsynced() && !is_replaced(&before, &path));
        fs::remove_dir(&obstacle).unwrap();
        assert_eq!(put_after_pause(&store, 5).await, Put::Stored);
        assert!(!health.is_unsynced() && is_replaced(&before, &path));
        assert_eq!(store.put(event(0)).await.unwrap(), Put::Duplicate);
    });
}

/// Opens the inbox and ends without rewriting the file, like a process that is killed while syncs
/// fail.
async fn end_while_syncs_fail(path: &Path, count: u64) {
    let health = Health::default();
    let store = open_at(path, &health);
    for number in 0..count {
        store.put(event(number)).await.unwrap();
    }
    health.is_broken.store(true, Ordering::Relaxed);
    for number in count..count + 3 {
        assert!(is_unavailable(&store, number).await);
    }
    drop(store);
    // The store's thread ends after it has closed the file.
    while Arc::strong_count(&health.is_broken) > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn the_next_process_rewrites_the_file_if_the_last_one_could_not() {
    block_on(async {
        let place = Place::new("next");
        let path = place.inbox();
        end_while_syncs_fail(&path, 3).await;
        assert_eq!(place.names(), ["inbox.redb", "inbox.redb.rewrite.new"]);
        let before = fs::File::open(&path).unwrap();
        let store = open_at(&path, &Health::default());
        assert!(is_replaced(&before, &path));
        assert_eq!(place.names(), ["inbox.redb"]);
        let again = fs::File::open(&path).unwrap();
        assert_eq!(store.put(event(0)).await.unwrap(), Put::Duplicate);
        drop(after_end(store, &path).await);
        assert!(!is_replaced(&again, &path), "once");
    });
}

/// The first process has not begun to rewrite the file, and may be killed before it begins.
#[test]
fn a_process_that_opens_the_file_after_a_failed_sync_rewrites_it_first() {
    block_on(async {
        let place = Place::new("first");
        let (path, health) = (place.inbox(), Health::default());
        let store = open_at(&path, &health);
        assert_eq!(store.put(event(0)).await.unwrap(), Put::Stored);
        health.is_broken.store(true, Ordering::Relaxed);
        assert!(is_unavailable(&store, 1).await);
        let before = fs::File::open(&path).unwrap();
        assert_eq!(place.names(), ["inbox.redb", "inbox.redb.rewrite.new"]);
        // The first process has closed the file.
        let next = open_at(&path, &Health::default());
        assert!(is_replaced(&before, &path));
        assert_eq!(place.names(), ["inbox.redb"]);
        assert_eq!(next.put(event(0)).await.unwrap(), Put::Duplicate);
        drop(store);
    });
}

/// A process closes its file for another reason, and opens it again after other processes have used
/// it.
#[test]
fn a_process_that_opens_the_file_again_rewrites_it_if_another_failed_to_sync_it() {
    let place = Place::new("again");
    let path = place.inbox();
    let mut source = rewrite::Place::new(&path, OPTIONS, Health::default());
    drop(source.create_or_open().unwrap());
    block_on(end_while_syncs_fail(&path, 3));
    let before = fs::File::open(&path).unwrap();
    drop(source.open().unwrap());
    assert!(is_replaced(&before, &path));
    assert_eq!(place.names(), ["inbox.redb"]);
}

/// Deliveries are handled directly meanwhile, so the process must not end.
#[test]
fn an_inbox_opens_while_its_file_cannot_be_rewritten() {
    block_on(async {
        let place = Place::new("still");
        let path = place.inbox();
        end_while_syncs_fail(&path, 3).await;
        let before = fs::read(&path).unwrap();
        let health = Health::default();
        health.is_broken.store(true, Ordering::Relaxed);
        let store = open_at(&path, &health);
        assert!(is_unavailable(&store, 9).await);
        assert!(fs::read(&path).unwrap() == before);
        health.is_broken.store(false, Ordering::Relaxed);
        assert_eq!(put_after_pause(&store, 2).await, Put::Duplicate);
        assert!(complete_all(&store).await >= 3);
        assert_eq!(place.names(), ["inbox.redb"]);
    });
}

/// The kernel can drop blocks that it could not write.
#[test]
fn a_damaged_copy_does_not_replace_the_file() {
    const BLOCK: usize = 1024;

    block_on(async {
        let (mut noticed, mut free, mut expected) = (0, 0, None);
        let place = Place::new("dropped");
        let path = place.inbox();
        end_while_syncs_fail(&path, 20).await;
        let whole = fs::read(&path).unwrap();
        // The last block of a tree's page contains values. The first iteration loses no block.
        for end in (4096..=whole.len()).step_by(4096) {
            let lost = end - BLOCK..end;
            let is_first = end == 4096;
            if !is_first && whole[lost.clone()].iter().all(|byte| *byte == 0) {
                continue;
            }
            let mut damaged = whole.clone();
            if !is_first {
                damaged[lost].fill(0);
            }
            // Use a new file, because the thread of the last iteration may not have closed the old
            // one yet.
            fs::remove_file(&path).unwrap();
            fs::write(&path, &damaged).unwrap();
            fs::write(place.0.join("inbox.redb.rewrite.new"), "").unwrap();
            match RedbStore::open_watched(&path, OPTIONS, BOUNDS, Arc::new(clock()), Health::default()) {
                Ok(store) => {
                    let taken = store.take(take(64)).await.unwrap();
                    let bodies: Vec<_> =
                        taken.events.iter().map(|taken| taken.event.verified.body().to_vec()).collect();
                    assert!(*expected.get_or_insert_with(|| bodies.clone()) == bodies);
                    assert!(taken.unreadable.is_empty());
                    free += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), InboxErrorKind::Damaged);
                    assert!(fs::read(&path).unwrap() == damaged);
                    noticed += 1;
                }
            }
        }
        println!("{noticed} lost blocks were noticed, and {free} had been free");
        assert!(noticed > 0 && expected.is_some_and(|bodies| !bodies.is_empty()));
    });
}

#[test]
fn the_pause_between_attempts_grows_and_the_error_is_repeated_meanwhile() {
    let place = Place::new("pause");
    let (path, health) = (place.inbox(), Health::default());
    drop(open_at(&path, &health));
    health.is_broken.store(true, Ordering::Relaxed);
    health.set_unsynced(true);
    let mut source = rewrite::Place::new(&path, OPTIONS, health.clone());
    let start = std::time::Instant::now();
    let error = || InboxError::new(InboxErrorKind::Unavailable, "the first error");
    let mut pauses = Vec::new();
    for _ in 0..9 {
        source.pause.extend(start, error());
        let ends = |after: &u64| source.pause.check(start + Duration::from_millis(*after)).is_ok();
        pauses.push((0..20_000).step_by(100).find(ends).unwrap());
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    source.pause.extend(start + Duration::from_secs(3_600), error());
    for _ in 0..10 {
        assert_eq!(source.open().unwrap_err().to_string(), "the first error");
    }
    assert_eq!(place.names(), ["inbox.redb"], "no copy was begun");
}

#[cfg(all(unix, feature = "tracing"))]
#[test]
fn a_file_that_is_moved_replaced_or_deleted_is_logged_once() {
    use std::io::Write;

    /// Counts lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::atomic::AtomicUsize>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let text = String::from_utf8_lossy(bytes);
            self.0.fetch_add(text.matches("moved, replaced or deleted").count(), Ordering::Relaxed);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(log, || {
        let place = Place::new("gone");
        let (path, other, health) = (place.inbox(), place.0.join("other"), Health::default());
        let mut source = rewrite::Place::new(&path, OPTIONS, health.clone());
        let checked = |source: &mut rewrite::Place| {
            source.check();
            source.check();
            lines.0.swap(0, Ordering::Relaxed)
        };
        let database = source.create_or_open().unwrap();
        assert_eq!(checked(&mut source), 0);
        fs::rename(&path, &other).unwrap();
        assert_eq!(checked(&mut source), 1, "moved");
        fs::rename(&other, &path).unwrap();
        assert_eq!(checked(&mut source), 0, "moved back");
        fs::copy(&path, &other).unwrap();
        let back = place.0.join("back");
        fs::rename(&path, &back).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(checked(&mut source), 1, "replaced");
        fs::rename(&back, &path).unwrap();
        assert_eq!(checked(&mut source), 0);
        drop(database);
        health.set_unsynced(true);
        let database = source.open().unwrap();
        assert_eq!(checked(&mut source), 0, "rewritten");
        fs::remove_file(&path).unwrap();
        assert_eq!(checked(&mut source), 1, "deleted");
        drop(database);
    });
}

/// A process opened the file just before another process replaced it. It must not write to the old
/// file.
#[cfg(unix)]
#[test]
fn a_file_that_was_replaced_before_it_was_locked_counts_as_locked() {
    block_on(async {
        let place = Place::new("stale");
        let (path, health) = (place.inbox(), Health::default());
        let store = open_at(&path, &health);
        store.put(event(0)).await.unwrap();
        let stale = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let open_stale = || file::open_locked(&path, stale.try_clone().unwrap(), &OPTIONS, &Health::default());
        assert_eq!(open_stale().unwrap_err().kind(), InboxErrorKind::Locked, "another process has it");
        health.is_broken.store(true, Ordering::Relaxed);
        assert!(is_unavailable(&store, 1).await);
        health.is_broken.store(false, Ordering::Relaxed);
        put_after_pause(&store, 2).await;
        assert_eq!(open_stale().unwrap_err().kind(), InboxErrorKind::Locked, "it was replaced");
        let new = file::open(&path, &OPTIONS, &Health::default()).unwrap_err();
        assert_eq!(new.kind(), InboxErrorKind::Locked, "the new file is locked, too");
    });
}

/// A file that another process has opened must not be replaced.
#[test]
fn a_file_that_another_process_has_open_is_not_replaced() {
    let place = Place::new("other");
    let (path, health) = (place.inbox(), Health::default());
    let other = file::open_or_create(&path, &OPTIONS, &Health::default()).unwrap();
    let before = fs::File::open(&path).unwrap();
    health.is_broken.store(true, Ordering::Relaxed);
    let broken = Watched { backend: created(), health: health.clone() };
    assert!(broken.sync_data().is_err());
    health.is_broken.store(false, Ordering::Relaxed);
    let refused = rewrite::rewrite(&path, &OPTIONS, &health).unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Locked);
    assert!(health.is_unsynced() && !is_replaced(&before, &path));
    drop(other);
    drop(rewrite::rewrite(&path, &OPTIONS, &health).unwrap());
    assert!(!health.is_unsynced() && is_replaced(&before, &path));
}

/// The data on the disk was valid before the sync failed, and refers to no later page.
#[test]
fn nothing_is_written_to_the_old_file_after_a_failed_sync() {
    block_on(async {
        let place = Place::new("old");
        let (path, health) = (place.inbox(), Health::default());
        let store = open_at(&path, &health);
        store.put(event(0)).await.unwrap();
        let link = place.0.join("old.redb");
        fs::hard_link(&path, &link).unwrap();
        health.is_broken.store(true, Ordering::Relaxed);
        assert!(is_unavailable(&store, 1).await);
        let after_failure = fs::read(&link).unwrap();
        for number in 2..5 {
            assert!(is_unavailable(&store, number).await);
        }
        assert!(fs::read(&link).unwrap() == after_failure);
        health.is_broken.store(false, Ordering::Relaxed);
        assert_eq!(put_after_pause(&store, 5).await, Put::Stored);
        drop(after_end(store, &path).await);
        assert!(fs::read(&link).unwrap() == after_failure);
    });
}

#[test]
fn only_failures_that_can_lose_pages_count() {
    type Prepare = fn(&Disk);
    type Operation = fn(&Watched<Disk>) -> std::io::Result<()>;

    let failing = |prepare: Prepare, operation: Operation| {
        let watched = Watched { backend: created(), health: Health::default() };
        prepare(&watched.backend);
        let is_error = operation(&watched).is_err();
        (is_error, watched.health.is_unsynced())
    };
    let (healthy, full, off): (Prepare, Prepare, Prepare) =
        (|_| {}, |disk| disk.set_full(true), |disk| disk.cut_after(0));
    let changes: [Operation; 2] = [|watched| watched.write(0, b"page"), |watched| watched.set_len(1 << 20)];
    for change in changes {
        assert_eq!(failing(healthy, change), (false, false));
        assert_eq!(failing(full, change), (true, false), "nothing was written");
        assert_eq!(failing(off, change), (true, true));
    }
    assert_eq!(failing(healthy, |watched| watched.sync_data()), (false, false));
    assert_eq!(failing(off, |watched| watched.sync_data()), (true, true));
}
