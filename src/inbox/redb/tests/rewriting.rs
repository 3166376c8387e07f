//! After a failed sync the file is rewritten.

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

/// An empty directory of its own.
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

/// A file that stays open keeps its inode's number from being used again.
fn is_replaced(before: &fs::File, path: &Path) -> bool {
    !file::is_same_file(&before.metadata().unwrap(), &fs::metadata(path).unwrap())
}

async fn is_unavailable(store: &RedbStore, number: u64) -> bool {
    store.put(event(number)).await.is_err_and(|error| error.kind() == InboxErrorKind::Unavailable)
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
fn a_failed_sync_makes_the_inbox_write_its_file_anew() {
    use std::os::unix::fs::PermissionsExt as _;

    block_on(async {
        for is_link in [false, true] {
            let place = Place::new(&format!("anew-{is_link}"));
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
            assert!(!is_replaced(&before, &real), "not while syncs fail");
            health.is_broken.store(false, Ordering::Relaxed);
            assert_eq!(store.put(event(24)).await.unwrap(), Put::Stored);
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

/// Without space again and again, the file stays as it is.
#[test]
fn a_file_that_cannot_be_written_anew_stays_and_is_written_later() {
    block_on(async {
        let place = Place::new("later");
        let (path, health) = (place.inbox(), Health::default());
        let store = open_at(&path, &health);
        store.put(event(0)).await.unwrap();
        let before = fs::File::open(&path).unwrap();
        // The copy's name is taken by something that cannot be removed as a file is.
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
        assert_eq!(store.put(event(5)).await.unwrap(), Put::Stored);
        assert!(!health.is_unsynced() && is_replaced(&before, &path));
        assert_eq!(store.put(event(0)).await.unwrap(), Put::Duplicate);
    });
}

/// A killed process can leave its copy, which contains deliveries.
#[test]
fn a_copy_that_a_killed_process_left_is_removed() {
    let place = Place::new("left");
    let left = place.0.join("inbox.redb.rewrite.new");
    fs::write(&left, "a part").unwrap();
    let health = Health::default();
    let store = open_at(&place.inbox(), &health);
    assert_eq!(place.names(), ["inbox.redb"]);
    block_on(async {
        fs::write(&left, "a part").unwrap();
        health.is_broken.store(true, Ordering::Relaxed);
        assert!(is_unavailable(&store, 0).await);
        health.is_broken.store(false, Ordering::Relaxed);
        store.put(event(1)).await.unwrap();
    });
    assert_eq!(place.names(), ["inbox.redb"]);
}

/// A process that opened the file just before another one replaced it must not write to it.
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
        store.put(event(2)).await.unwrap();
        assert_eq!(open_stale().unwrap_err().kind(), InboxErrorKind::Locked, "it was replaced");
        let new = file::open(&path, &OPTIONS, &Health::default()).unwrap_err();
        assert_eq!(new.kind(), InboxErrorKind::Locked, "the new file is locked, too");
    });
}

/// Another process that has taken the file over must not have it replaced.
#[test]
fn a_file_that_another_process_has_is_not_replaced() {
    let place = Place::new("other");
    let (path, health) = (place.inbox(), Health::default());
    let other = file::open_or_create(&path, &OPTIONS, &Health::default()).unwrap();
    let before = fs::File::open(&path).unwrap();
    health.is_broken.store(true, Ordering::Relaxed);
    let broken = Watched { backend: created(), health: health.clone() };
    assert!(broken.sync_data().is_err());
    health.is_broken.store(false, Ordering::Relaxed);
    let refused = rewrite::reopen(&path, &OPTIONS, &health).unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Locked);
    assert!(health.is_unsynced() && !is_replaced(&before, &path));
    drop(other);
    drop(rewrite::reopen(&path, &OPTIONS, &health).unwrap());
    assert!(!health.is_unsynced() && is_replaced(&before, &path));
}

/// What is on the disk was sound before the sync failed, and refers to no later page.
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
        assert_eq!(store.put(event(5)).await.unwrap(), Put::Stored);
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
