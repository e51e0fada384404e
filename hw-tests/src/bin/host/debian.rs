//! The guest's kernel, headers and source: Debian's packages, downloaded and unpacked, not installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::tell;

/// Debian's kernel, unpacked.
pub(crate) struct Debian {
    /// `6.1.0-56-amd64`.
    pub(crate) release: String,
    /// Where the packages were unpacked.
    pub(crate) tree: PathBuf,
    /// vidtv's source.
    pub(crate) vidtv: PathBuf,
}

impl Debian {
    /// The kernel that QEMU boots.
    pub(crate) fn kernel(&self) -> PathBuf {
        self.tree.join(format!("boot/vmlinuz-{}", self.release))
    }

    /// Where modules are built against.
    pub(crate) fn headers(&self) -> PathBuf {
        self.tree.join(format!("usr/src/linux-headers-{}", self.release))
    }

    /// The modules that came with the kernel.
    pub(crate) fn modules(&self) -> PathBuf {
        self.tree.join(format!("lib/modules/{}", self.release))
    }
}

/// Runs a command to its end; its output is shown only when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {command:?}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&said));
}

/// Downloads and unpacks what is not there yet.
pub(crate) fn fetch(work: &Path) -> Result<Debian> {
    ensure!(cfg!(target_arch = "x86_64"), "the virtual machine is made on x86_64 only; use HEADEND_BENCH on a bench");
    let release = newest()?;
    let tree = work.join("debian").join(&release);
    let debian = Debian { vidtv: tree.join("vidtv"), tree, release };
    let done = debian.tree.join(".unpacked");
    if !done.exists() {
        unpack(&debian, &work.join("download")).context("Debian's kernel")?;
        fs::write(&done, "").with_context(|| format!("write {}", done.display()))?;
    }
    Ok(debian)
}

/// The kernel release that `linux-image-amd64` stands for.
fn newest() -> Result<String> {
    let look = || {
        let text = output(Command::new("apt-cache").args(["depends", "linux-image-amd64"])).unwrap_or_default();
        text.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-")).map(str::to_owned)
    };
    let release = look().or_else(|| refresh().ok().and_then(|()| look()));
    release.context("apt knows no linux-image-amd64; run `apt-get update` (Debian 12 with its usual sources)")
}

/// Package lists that are missing, or older than what the mirror has, are fetched anew; that needs root.
fn refresh() -> Result<()> {
    tell("fetching Debian's package lists: apt-get update");
    output(Command::new("apt-get").args(["update", "-qq"])).map(drop)
}

fn unpack(debian: &Debian, download: &Path) -> Result<()> {
    let release = &debian.release;
    let common = release.strip_suffix("-amd64").context("a kernel release for amd64")?;
    let packages = [
        format!("linux-image-{release}"),
        format!("linux-headers-{release}"),
        format!("linux-headers-{common}-common"),
        "linux-kbuild-6.1".to_owned(),
        "linux-source-6.1".to_owned(),
    ];
    tell(&format!("downloading 260 MB from Debian into {}: {}", download.display(), packages.join(" ")));
    if download.exists() {
        fs::remove_dir_all(download).context("empty the download folder")?;
    }
    fs::create_dir_all(download).context("create the download folder")?;
    let get = || output(Command::new("apt-get").args(["download", "-qq"]).args(&packages).current_dir(download));
    get().or_else(|_| refresh().and_then(|()| get())).context(
        "apt cannot download the kernel of the virtual machine: it needs a Debian 12 package mirror, and lists that are \
         fresh (`apt-get update`); nothing of hw-test can run without it",
    )?;
    for entry in fs::read_dir(download).context("list the download folder")? {
        let package = entry.context("list the download folder")?.path();
        if package.file_name().is_some_and(|name| name.to_string_lossy().starts_with("linux-source")) {
            unpack_vidtv(&package, debian)?;
        } else {
            output(Command::new("dpkg").arg("--extract").arg(&package).arg(&debian.tree))?;
        }
    }
    point_headers_here(debian)?;
    fs::remove_dir_all(download).context("remove the download folder")
}

/// The headers name the folder they would be installed in.
fn point_headers_here(debian: &Debian) -> Result<()> {
    let makefile = debian.headers().join("Makefile");
    let text = fs::read_to_string(&makefile).with_context(|| format!("read {}", makefile.display()))?;
    let here = debian.tree.join("usr/src");
    fs::write(&makefile, text.replace("/usr/src", &here.to_string_lossy()))
        .with_context(|| format!("write {}", makefile.display()))
}

/// Of the kernel's whole source only the folder of vidtv.
fn unpack_vidtv(package: &Path, debian: &Debian) -> Result<()> {
    fs::create_dir_all(&debian.vidtv).context("create vidtv's folder")?;
    let script = "dpkg-deb --fsys-tarfile \"$1\" | tar -xO ./usr/src/linux-source-6.1.tar.xz \
                  | tar -xJ --strip-components=5 -C \"$2\" --wildcards '*/drivers/media/test-drivers/vidtv/*'";
    output(Command::new("bash").args(["-euo", "pipefail", "-c", script, "unpack"]).arg(package).arg(&debian.vidtv))
        .map(drop)
}
