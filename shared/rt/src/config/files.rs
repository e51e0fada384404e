//! Finds and reads configuration files, and lays their texts end to end, so that one number names a place in any.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{ConfigError, Place};

/// The most bytes all files together may hold.
pub const CONFIG_BYTES_MAX: usize = 1024 * 1024;

/// The most files, the main one included.
pub const CONFIG_FILES_MAX: usize = 64;

/// One file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What errors call it.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

/// The folder of additions that belongs to a main file: `conf.d` beside it.
#[must_use]
pub fn conf_d(main: &Path) -> PathBuf {
    main.with_file_name("conf.d")
}

pub(super) fn read_all(main: &Path) -> Result<Vec<Source>, ConfigError> {
    let folder = conf_d(main);
    let mut paths = vec![main.to_owned()];
    paths.extend(list(&folder).map_err(|source| ConfigError::Read { path: folder.clone(), source })?);
    if paths.len() > CONFIG_FILES_MAX {
        return Err(ConfigError::TooMany { path: folder });
    }
    let mut left = CONFIG_BYTES_MAX;
    let mut sources = vec![];
    for path in paths {
        let source = read(path, left)?;
        left = left.saturating_sub(source.text.len());
        sources.push(source);
    }
    Ok(sources)
}

/// The `*.toml` files of a folder by name; none when there is no folder. Hidden files are editors' and packagers'.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut paths = vec![];
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
        if paths.len() > CONFIG_FILES_MAX {
            break;
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: PathBuf, left: usize) -> Result<Source, ConfigError> {
    let mut bytes = vec![];
    let read = File::open(&path).and_then(|file| file.take(left as u64 + 1).read_to_end(&mut bytes));
    if let Err(source) = read {
        return Err(ConfigError::Read { path, source });
    }
    if bytes.len() > left {
        return Err(ConfigError::TooLarge { path });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { path, text }),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let text = String::from_utf8_lossy(good);
            let place = Place::in_text(&path, &text, text.len());
            Err(ConfigError::Wrong { place, text: "not UTF-8 text from here on".to_owned() })
        }
    }
}

/// All texts, each behind as many newlines as the texts before it have bytes. A span that the TOML parser reports then
/// names its file as well, and values of several files can stand in one tree.
#[derive(Debug)]
pub(super) struct Sources {
    files: Vec<Padded>,
}

#[derive(Debug)]
struct Padded {
    path: PathBuf,
    start: usize,
    text: String,
}

impl Sources {
    pub(super) fn new(sources: Vec<Source>) -> Self {
        let mut files = vec![];
        let mut start = 0;
        for Source { path, text } in sources {
            // Windows editors put a byte order mark first; behind the padding the parser would not take it for one.
            let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
            let mut padded = "\n".repeat(start);
            padded.push_str(text);
            let next = padded.len() + 1;
            files.push(Padded { path, start, text: padded });
            start = next;
        }
        Self { files }
    }

    /// The padded texts in order.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.text.as_str())
    }

    /// File, line and column of an offset into the padded texts.
    pub(super) fn place(&self, offset: usize) -> Place {
        let at = self.files.partition_point(|file| file.start <= offset);
        match self.files.get(at.saturating_sub(1)) {
            Some(file) => {
                let text = file.text.get(file.start..).unwrap_or("");
                Place::in_text(&file.path, text, offset.saturating_sub(file.start))
            }
            None => Place { file: PathBuf::new(), line: 1, column: 1 },
        }
    }
}
