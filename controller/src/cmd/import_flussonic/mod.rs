//! `import-flussonic`: the configuration of a Flussonic as channels of this controller.
//!
//! The shell of [`crate::flussonic`], which decides. Reads a file or asks the server ([`fetch`]), compares with the
//! channels there are, prints, and writes through one of two [`desk`]s: the REST interface of a running controller,
//! or the store of one that does not run. Nothing is written as long as a line is dropped without `--accept-drops`.

mod desk;
mod fetch;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use headend_rt::{Secret, SecretFile, secret::SecretError};
use headend_wire::{ChannelName, SiteName};

use self::desk::Desk;
use super::{Exit, load, talk, tell};
use crate::{
    config,
    domain::{Login, Tag},
    flussonic::{self, Config, Plan, Wishes, finding::Fate, grammar::BYTES_MAX, report},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// `flussonic.conf`, a saved answer of GET /streamer/api/v3/streams, or the address of the server; `-` for stdin.
    #[arg(value_name = "FILE|URL")]
    from: String,
    /// The controller's configuration file: where the store is, and which site.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// The site that the sources are at; that of the configuration file when left out.
    #[arg(long)]
    site: Option<SiteName>,
    /// A tag of every new channel, which ties it to tariffs; may be repeated.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
    /// The channel's name for a stream whose own cannot be one; may be repeated.
    #[arg(long = "rename", value_name = "OLD=NEW", value_parser = rename)]
    renames: Vec<(String, ChannelName)>,
    /// A file with `USER:PASSWORD` or `Bearer TOKEN` for the server, which others cannot read.
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
    /// The address of a running controller, to be asked instead of its store: `http://127.0.0.1:8080`.
    #[arg(long, value_name = "URL", requires_all = ["operator", "password_file"])]
    controller: Option<String>,
    /// Who signs in at the running controller; needs the role admin.
    #[arg(long, requires = "controller")]
    operator: Option<Login>,
    /// A file with the operator's password, which others cannot read.
    #[arg(long, value_name = "FILE", requires = "controller")]
    password_file: Option<PathBuf>,
    /// Write, although some lines are dropped.
    #[arg(long)]
    accept_drops: bool,
    /// Say what would be done, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

fn rename(text: &str) -> Result<(String, ChannelName), String> {
    let (old, new) = text.rsplit_once('=').ok_or("write OLD=NEW")?;
    let new = new.parse().map_err(|error: headend_wire::IdError| error.to_string())?;
    Ok((old.to_owned(), new))
}

pub(super) async fn run(arguments: Arguments) -> Exit {
    match import(&arguments).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn import(arguments: &Arguments) -> Result<Exit, Exit> {
    let site = match (&arguments.site, &arguments.controller) {
        (Some(site), _) => site.clone(),
        (None, _) => load(&arguments.config)?.config.site,
    };
    let config = read(arguments).await?;
    let mut renames = BTreeMap::new();
    for (old, new) in &arguments.renames {
        if renames.insert(old.clone(), new.clone()).is_some() {
            talk("--rename names a stream twice; give it once");
            return Err(Exit::Usage);
        }
    }
    let wishes = Wishes { site, tags: arguments.tags.iter().cloned().collect(), renames };
    let desk = open(arguments).await?;
    let planned = match desk.channels().await {
        Ok(existing) => flussonic::plan(config, &wishes, &existing).map_err(|error| Exit::ConfigInvalid.say(&error)),
        Err(error) => Err(error.exit().say(&error)),
    };
    let outcome = match planned {
        Ok(plan) => settle(arguments, &desk, &plan).await,
        Err(exit) => Err(exit),
    };
    desk.close().await;
    outcome
}

/// Prints the plan, and writes it unless something speaks against it.
async fn settle(arguments: &Arguments, desk: &Desk, plan: &Plan) -> Result<Exit, Exit> {
    let drops = plan.findings.count(Fate::Dropped);
    let refused = drops > 0 && !arguments.accept_drops;
    if !arguments.json {
        tell(&report::text(plan));
    }
    let (mut written, mut failed) = (0, None);
    if !refused && !arguments.dry_run {
        for change in &plan.changes {
            match desk.write(change).await {
                Ok(()) => written += 1,
                Err(error) => {
                    failed = Some((change.after.name.clone(), error));
                    break;
                }
            }
        }
    }
    if arguments.json {
        let mut told = report::machine(plan);
        told["dry_run"] = arguments.dry_run.into();
        told["refused"] = refused.into();
        told["written"] = written.into();
        tell(&format!("{told:#}"));
    }
    if let Some((name, error)) = failed {
        talk(&format!(
            "{written} of {} channels written, then {name} failed: {}; import again to go on",
            plan.changes.len(),
            headend_rt::chain(&error)
        ));
        return Err(error.exit());
    }
    if refused {
        let write = if arguments.dry_run { "would be refused" } else { "nothing was written" };
        talk(&format!("{write}: {drops} lines would be dropped; read them above, then add --accept-drops"));
        return Ok(Exit::ConfirmationNeeded);
    }
    if plan.changes.iter().any(|change| change.after.tags.is_empty() && !change.after.free) {
        talk("some of these channels have no tag, so no tariff holds them; give new ones a tag with --tag");
    }
    match (arguments.dry_run, plan.changes.len()) {
        (_, 0) => talk("nothing to change: every channel is as the file says"),
        (true, count) => talk(&format!("{count} channels would be written; nothing was, because of --dry-run")),
        (false, _) => talk(&format!("{written} channels written")),
    }
    Ok(Exit::Done)
}

async fn read(arguments: &Arguments) -> Result<Config, Exit> {
    let from = &arguments.from;
    if from.starts_with("http://") || from.starts_with("https://") {
        let credentials = arguments.credentials_file.as_deref().map(secret).transpose()?;
        return fetch::streams(from, credentials.as_ref()).await.map_err(|error| error.exit().say(&error));
    }
    if arguments.credentials_file.is_some() {
        talk("--credentials-file is for an address; a file needs none");
        return Err(Exit::Usage);
    }
    let bytes = bytes(from).map_err(|error| {
        talk(&format!("{from} cannot be read: {error}"));
        if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed }
    })?;
    flussonic::read(&bytes).map_err(|error| {
        talk(&format!("{from}: {error}"));
        Exit::ConfigInvalid
    })
}

/// A little more than a configuration may have, so that the parser can say that it is too long.
fn bytes(from: &str) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(BYTES_MAX).unwrap_or(u64::MAX) + 1;
    let mut bytes = vec![];
    match from {
        "-" => io::stdin().lock().take(limit).read_to_end(&mut bytes),
        path => File::open(path)?.take(limit).read_to_end(&mut bytes),
    }?;
    Ok(bytes)
}

/// A name without a slash would be taken for a systemd credential; on the command line it is a file here.
fn secret(path: &Path) -> Result<Secret, Exit> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    SecretFile::at(&path).read().map_err(|error: SecretError| Exit::Usage.say(&error))
}

async fn open(arguments: &Arguments) -> Result<Desk, Exit> {
    let Arguments { controller: Some(url), operator: Some(login), password_file: Some(file), .. } = arguments else {
        let state_dir = load(&arguments.config)?.config.state_dir;
        return Desk::store(&state_dir, arguments.dry_run).map_err(|error| error.exit().say(&error));
    };
    let password = secret(file)?;
    Desk::controller(url, login, &password).await.map_err(|error| error.exit().say(&error))
}
