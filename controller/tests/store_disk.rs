//! The store against the disk: what reaches it before an answer, and a disk that is full.
//!
//! Like the kills, the process under test is this binary started again for one test.

#[cfg(test)]
mod disk {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use headend_controller::store::sled::OpenError;
    use headend_controller::store::{Batch, CommitError, Engine, IdempotencyKey, SledEngine, SledOptions};

    const PLACE: &str = "HEADEND_STORE_DISK_PLACE";

    fn batch(n: u64) -> Batch {
        Batch::new(IdempotencyKey::new(format!("n:{n}")).unwrap(), 0).put(format!("k/{n:08}"), vec![b'v'; 3000])
    }

    /// Says each step in the order of system calls: by making a directory of that name.
    #[tokio::test]
    async fn child() {
        let Ok(place) = std::env::var(PLACE) else {
            return;
        };
        let place = PathBuf::from(place);
        let mut options = SledOptions::new(place.join("store"));
        options.ballast_bytes = 0;
        let engine = SledEngine::open(&options).unwrap();
        for n in 0..5 {
            fs::create_dir(place.join(format!("asked-{n}"))).unwrap();
            engine.commit(batch(n)).await.unwrap();
            fs::create_dir(place.join(format!("answered-{n}"))).unwrap();
        }
    }

    /// Between question and answer the database file is fsynced, and after it the mark:
    /// sled's own flush would leave it in the disk's and the kernel's caches.
    #[test]
    fn an_answer_comes_after_the_fsync_of_database_and_mark() {
        let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
        if !traced.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: strace is missing or ptrace is not permitted here");
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let trace = place.path().join("trace");
        let status = Command::new("strace")
            .args(["-f", "-y", "-e", "trace=fsync,fdatasync,mkdir,pwrite64", "-o"])
            .arg(&trace)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "disk::child", "--test-threads=1"])
            .env(PLACE, place.path())
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        let trace = fs::read_to_string(trace).unwrap();
        for n in 0..5 {
            let from = trace.find(&format!("asked-{n}\"")).unwrap();
            let to = trace.find(&format!("answered-{n}\"")).unwrap();
            let calls = &trace[from..to];
            let find = |call: &str, file: &str| {
                let starts = calls.match_indices(call).map(|(at, _)| at);
                starts.filter(|at| calls[*at..].lines().next().unwrap().contains(file)).last()
            };
            let written = find("pwrite64(", "/sled-v1/db>").expect("the database was written");
            let database = find("fsync(", "/sled-v1/db>").expect("the database was fsynced");
            let mark = find("fdatasync(", "/sled-v1/mark>").expect("the mark was fsynced");
            assert!(written < database && database < mark, "{calls}");
        }
    }

    /// A small file system of its own; unmounted when dropped, even while files are open.
    struct Tmpfs(tempfile::TempDir);

    impl Tmpfs {
        fn mounted() -> Option<Self> {
            let place = tempfile::tempdir().unwrap();
            let root = nix::unistd::geteuid().is_root();
            let mount = |()| {
                Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "headend"]).arg(place.path()).status()
            };
            let mounted = root.then_some(()).map(mount).is_some_and(|status| status.is_ok_and(|s| s.success()));
            mounted.then_some(Self(place))
        }

        fn path(&self) -> &Path {
            self.0.path()
        }
    }

    impl Drop for Tmpfs {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
        }
    }

    fn options(place: &Path, free_bytes_min: u64) -> SledOptions {
        let mut options = SledOptions::new(place.join("store"));
        options.ballast_bytes = 2 << 20;
        options.free_bytes_min = free_bytes_min;
        options.on_fatal = Some(std::sync::Arc::new(|what| panic!("{what}")));
        options
    }

    /// Fills the file system to its last byte.
    fn fill(place: &Path) {
        use std::io::Write as _;
        let mut file = fs::File::create(place.join("filler")).unwrap();
        for bytes in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; bytes]).is_ok() {}
        }
    }

    async fn count(engine: &dyn Engine) -> usize {
        engine.scan(b"k/", None, 10_000).await.unwrap().len()
    }

    #[tokio::test]
    async fn a_full_disk_loses_nothing_and_the_ballast_lets_the_store_open() {
        let Some(tmpfs) = Tmpfs::mounted() else {
            eprintln!("SKIPPED: a tmpfs can be mounted by root only");
            return;
        };
        let place = tmpfs.path();
        let engine = SledEngine::open(&options(place, 1 << 20)).unwrap();
        let mut kept = 0;
        let refused = loop {
            match engine.commit(batch(kept)).await {
                Ok(_) => kept += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, CommitError::NoSpace { .. }), "{refused}");
        assert!(kept > 100, "{kept}");
        fill(place);
        // Reads go on, and so do writes once there is room, without a restart.
        assert_eq!(count(&engine).await as u64, kept);
        fs::remove_file(place.join("filler")).unwrap();
        drop(engine);
        let ballast = place.join("store/ballast");
        fill(place);
        fs::rename(&ballast, place.join("elsewhere")).unwrap();
        let error = SledEngine::open(&options(place, 1 << 20)).err().unwrap();
        assert!(matches!(error, OpenError::NoSpace { .. }), "{error}");
        fs::rename(place.join("elsewhere"), &ballast).unwrap();
        let engine = SledEngine::open(&options(place, 1 << 20)).unwrap();
        assert_eq!(count(&engine).await as u64, kept);
        // It was given up for the open, and comes back when there is room for it.
        assert!(!ballast.exists() && !engine.tend_ballast().unwrap());
        fs::remove_file(place.join("filler")).unwrap();
        assert_eq!(engine.tend_ballast().unwrap(), ballast.exists());
    }

    /// Without the guard the engine itself meets the full disk: it gives up at once, reads
    /// nothing that is not durable, and has all that was acknowledged after the next start.
    #[tokio::test]
    async fn the_engine_on_a_full_disk_keeps_what_it_acknowledged() {
        let Some(tmpfs) = Tmpfs::mounted() else {
            eprintln!("SKIPPED: a tmpfs can be mounted by root only");
            return;
        };
        let place = tmpfs.path();
        let told = std::sync::Arc::new(std::sync::Mutex::new(vec![]));
        let hook = told.clone();
        let mut unguarded = options(place, 0);
        unguarded.on_fatal = Some(std::sync::Arc::new(move |what| hook.lock().unwrap().push(what.to_owned())));
        let engine = SledEngine::open(&unguarded).unwrap();
        let mut kept = 0;
        let failed = loop {
            match engine.commit(batch(kept)).await {
                Ok(_) => kept += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(failed, CommitError::Failed { .. }), "{failed}");
        assert!(engine.failure().is_some() && !told.lock().unwrap().is_empty());
        // sled may refuse reads from here on; it must not give others.
        if let Ok(found) = engine.scan(b"k/", None, 10_000).await {
            assert_eq!(found.len() as u64, kept);
        }
        assert!(engine.commit(batch(kept + 1)).await.is_err());
        drop(engine);
        let engine = match SledEngine::open(&options(place, 0)) {
            Ok(engine) => engine,
            Err(error @ OpenError::NoSpace { .. }) => panic!("the ballast was not enough: {error}"),
            Err(error) => panic!("{error}"),
        };
        let found = count(&engine).await as u64;
        assert!((kept..=kept + 1).contains(&found), "{kept} acknowledged, {found} found");
    }
}
