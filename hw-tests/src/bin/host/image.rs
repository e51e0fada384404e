//! The virtual machine's whole file system: the checks, a few programs of Debian with their libraries, modules, streams.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    archive::Archive,
    debian::{Debian, output},
    kernel::{self, Modules},
    tell,
};

/// What QEMU's devices and dvb-core need; the rest follows from what these need.
const DRIVERS: [&str; 7] = ["xhci_pci", "dvb_core", "virtio_net", "virtio_pci", "virtio_blk", "crc32c_generic", "ext4"];
/// Programs and plug-ins of Debian.
const PROGRAMS: [&str; 4] = [
    "/usr/sbin/pcscd",
    "/usr/lib/systemd/systemd-udevd",
    "/bin/busybox",
    "/usr/lib/pcsc/drivers/ifd-ccid.bundle/Contents/Linux/libccid.so",
];
/// Their settings.
const SETTINGS: [&str; 3] = [
    "/usr/lib/pcsc/drivers/ifd-ccid.bundle/Contents/Info.plist",
    "/etc/libccid_Info.plist",
    // The node's HTTPS client wants to trust somebody.
    "/etc/ssl/certs/ca-certificates.crt",
];

/// Writes the archive and tells where it is.
pub(crate) fn make(
    work: &Path,
    debian: &Debian,
    modules: &Modules,
    streams: &Path,
    node: Option<&Path>,
) -> Result<PathBuf> {
    let path = work.join("machine.cpio");
    let mut archive = Archive::create(&path)?;
    skeleton(&mut archive)?;
    let guest = std::env::current_exe().context("where hw-host is")?.with_file_name("hw-guest");
    program(&mut archive, work, &guest, "/init")?;
    if let Some(node) = node {
        program(&mut archive, work, node, "/opt/headend/headend-node")?;
    } else {
        tell("no headend-node was built: the checks of the node are left out");
    }
    for name in PROGRAMS {
        program(&mut archive, work, Path::new(name), name)?;
    }
    for name in SETTINGS {
        let content = fs::read(name).with_context(|| format!("read {name}"))?;
        archive.file(&real_name(Path::new(name))?, &content)?;
    }
    add_modules(&mut archive, debian, modules)?;
    add_streams(&mut archive, streams)?;
    archive.finish()?;
    let megabytes = fs::metadata(&path).context("the archive")?.len() / 1_000_000;
    tell(&format!("made the virtual machine's file system: {megabytes} MB"));
    Ok(path)
}

/// Folders, the links of a merged /usr as on Debian 12, and the few files that libraries expect.
fn skeleton(archive: &mut Archive) -> Result<()> {
    for folder in ["proc", "sys", "dev", "run", "tmp", "var/lib", "etc/reader.conf.d", "etc/udev/rules.d", "usr/bin"] {
        archive.folder(folder)?;
    }
    for folder in ["usr/sbin", "usr/lib", "usr/lib64"] {
        archive.folder(folder)?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        archive.link(name, &format!("usr/{name}"))?;
    }
    archive.device("dev/console", 5, 1)?;
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")?;
    archive.file("etc/group", b"root:x:0:\nvideo:x:44:\npcscd:x:100:\n")?;
    archive.file("etc/hosts", b"127.0.0.1 localhost\n")?;
    archive.file("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files\n")
}

/// A program without its debugging information, and every library it is linked with.
fn program(archive: &mut Archive, work: &Path, from: &Path, to: &str) -> Result<()> {
    let stripped = work.join("stripped");
    output(Command::new("strip").arg("--strip-debug").arg("-o").arg(&stripped).arg(from))
        .with_context(|| format!("{}: is hw-tests/setup/packages.txt installed?", from.display()))?;
    let content = fs::read(&stripped).context("read a stripped program")?;
    fs::remove_file(&stripped).context("remove a stripped program")?;
    let to = if Path::new(to) == from { real_name(from)? } else { to.to_owned() };
    archive.file(&to, &content)?;
    for library in libraries(from)? {
        if !archive.holds(&library) {
            let content = fs::read(&library).with_context(|| format!("read the library {library}"))?;
            archive.file(&library, &content)?;
        }
    }
    Ok(())
}

/// `/lib/x` is `/usr/lib/x`: names are those behind the links of the merged /usr.
fn real_name(path: &Path) -> Result<String> {
    let text = path.to_string_lossy().into_owned();
    let first = text.trim_start_matches('/').split('/').next().unwrap_or_default();
    Ok(if ["bin", "sbin", "lib", "lib64"].contains(&first) { format!("/usr{text}") } else { text })
}

/// What the dynamic linker would load. A program that is linked statically has none.
fn libraries(program: &Path) -> Result<BTreeSet<String>> {
    let listed = output(Command::new("ldd").arg(program)).unwrap_or_default();
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'));
    paths.map(|path| real_name(Path::new(path))).collect()
}

fn add_modules(archive: &mut Archive, debian: &Debian, modules: &Modules) -> Result<()> {
    let index = kernel::index(&debian.modules())?;
    let mut boot = vec![];
    for name in DRIVERS {
        let path = index.get(name).with_context(|| format!("Debian's kernel has no module {name}"))?;
        kernel::in_order(&index, path, &mut boot)?;
    }
    kernel::in_order(&index, &modules.tuner, &mut boot)?;
    let mut vidtv = vec![];
    for module in &modules.vidtv {
        kernel::in_order(&index, module, &mut vidtv)?;
    }
    for (list, paths) in [("modules/boot", &boot), ("modules/vidtv", &vidtv)] {
        let names: Vec<String> = paths.iter().map(|path| kernel::name_of(path)).collect();
        archive.file(list, names.join("\n").as_bytes())?;
        for path in paths {
            let content = fs::read(path).with_context(|| format!("read the module {}", path.display()))?;
            archive.file(&format!("modules/{}.ko", kernel::name_of(path)), &content)?;
        }
    }
    Ok(())
}

/// Recorded streams, for checks that need a real multiplex.
fn add_streams(archive: &mut Archive, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "ts") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            archive.file(&format!("streams/{name}"), &content)?;
        }
    }
    Ok(())
}
