//! `export` and `import`: the whole store as a text, and back.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use headend_rt::{Clock as _, SystemClock};

use super::{Exit, load, talk};
use crate::{
    config,
    installation::{self, store_folder},
    store::{Engine as _, SledOptions, sled::restore},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The export; a new file for `export`.
    file: PathBuf,
    /// The configuration file.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
}

pub(super) async fn export(arguments: Arguments) -> Exit {
    let state_dir = match load(&arguments.config) {
        Ok(checked) => checked.config.state_dir,
        Err(exit) => return exit,
    };
    if !store_folder(&state_dir).exists() {
        talk(&format!("{} holds no store; nothing to export", state_dir.display()));
        return Exit::NotFound;
    }
    let engine = match installation::open_store(&state_dir) {
        Ok(engine) => engine,
        Err(error) => return Exit::Failed.say(&error),
    };
    // It holds hashes of passwords: nobody else's to read. Nothing that is there is overwritten.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&arguments.file);
    let (file, copy) = match file.and_then(|file| Ok((file.try_clone()?, file))) {
        Ok(files) => files,
        Err(error) => {
            talk(&format!("{} cannot be made: {error}", arguments.file.display()));
            return Exit::Failed;
        }
    };
    let at_ms = u64::try_from(SystemClock.unix_ms()).unwrap_or(0);
    let summary = match engine.export(Box::new(copy), at_ms).await {
        Ok(summary) => summary,
        Err(error) => return Exit::Failed.say(&error),
    };
    if let Err(error) = file.sync_all() {
        return Exit::Failed.say(&error);
    }
    talk(&format!(
        "{} records written to {}; content keys in it are sealed under storage.key, which is not in it",
        summary.records,
        arguments.file.display()
    ));
    Exit::Done
}

pub(super) fn import(arguments: Arguments) -> Exit {
    let state_dir = match load(&arguments.config) {
        Ok(checked) => checked.config.state_dir,
        Err(exit) => return exit,
    };
    if !arguments.file.exists() {
        talk(&format!("{} is not there", arguments.file.display()));
        return Exit::NotFound;
    }
    let folder = store_folder(&state_dir);
    if let Err(error) = std::fs::create_dir_all(&folder) {
        talk(&format!("{} cannot be made: {error}", folder.display()));
        return Exit::Failed;
    }
    match restore(&SledOptions::new(&folder), &arguments.file) {
        Ok(summary) => {
            let damaged = folder.join("damaged");
            talk(&format!("{} records restored; what was there is in {}", summary.records, damaged.display()));
            Exit::Done
        }
        Err(error) => Exit::Failed.say(&error),
    }
}
