//! Builds the test module and vidtv against Debian's headers, and lists what modules need each other.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    debian::{Debian, output},
    tell,
};

/// Modules that were built, by name.
pub(crate) struct Modules {
    /// The pretended card.
    pub(crate) tuner: PathBuf,
    /// vidtv's three, in the order to load them.
    pub(crate) vidtv: Vec<PathBuf>,
}

/// Builds both; make itself knows what is up to date.
pub(crate) fn build(source: &Path, work: &Path, debian: &Debian) -> Result<Modules> {
    tell(&format!("building the test module and vidtv for {}", debian.release));
    // Built in a copy: nothing is written into the source, and another kernel gets its own copy.
    let copy = work.join("module").join(&debian.release);
    mirror(source, &copy)?;
    make(debian, &copy, &[]).context("the test module")?;
    make(debian, &debian.vidtv, &["CONFIG_DVB_VIDTV=m"]).context("vidtv")?;
    let vidtv = ["tuner", "demod", "bridge"].map(|part| debian.vidtv.join(format!("dvb-vidtv-{part}.ko")));
    Ok(Modules { tuner: copy.join("headend_tuner.ko"), vidtv: vidtv.into() })
}

fn mirror(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let path = entry.with_context(|| format!("list {}", from.display()))?.path();
        let Some(name) = path.file_name() else { continue };
        let (new, target) = (fs::read(&path)?, to.join(name));
        // A file that did not change keeps its time, so that make does nothing.
        if fs::read(&target).ok().as_deref() != Some(&new) {
            fs::write(&target, new).with_context(|| format!("write {}", target.display()))?;
        }
    }
    Ok(())
}

fn make(debian: &Debian, folder: &Path, settings: &[&str]) -> Result<()> {
    let module = format!("M={}", folder.display());
    let mut command = Command::new("make");
    command.arg("-C").arg(debian.headers()).args(["-j2", &module]).args(settings).arg("modules");
    output(&mut command).map(drop)
}

/// Every module of the kernel by its name, with `_` for `-`.
pub(crate) fn index(modules: &Path) -> Result<HashMap<String, PathBuf>> {
    let (mut found, mut folders) = (HashMap::new(), vec![modules.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "ko") {
                found.insert(name_of(&path), path);
            }
        }
    }
    Ok(found)
}

pub(crate) fn name_of(module: &Path) -> String {
    module.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_")
}

/// Puts a module after all that it needs; a name that is not there is built into the kernel.
pub(crate) fn in_order(index: &HashMap<String, PathBuf>, module: &Path, ordered: &mut Vec<PathBuf>) -> Result<()> {
    if ordered.iter().any(|path| path == module) {
        return Ok(());
    }
    for needed in needs(module)? {
        if let Some(path) = index.get(&needed) {
            in_order(index, path, ordered)?;
        }
    }
    ordered.push(module.to_owned());
    Ok(())
}

/// The names after `depends=` in the module's information section.
fn needs(module: &Path) -> Result<Vec<String>> {
    const KEY: &[u8] = b"\0depends=";
    let bytes = fs::read(module).with_context(|| format!("read the module {}", module.display()))?;
    let Some(at) = bytes.windows(KEY.len()).position(|window| window == KEY) else { return Ok(vec![]) };
    let list = bytes[at + KEY.len()..].split(|&byte| byte == 0).next().unwrap_or_default();
    let list = String::from_utf8_lossy(list);
    Ok(list.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect())
}
