//! `init`: makes the store, the keys and the first operator, once.

use std::{path::PathBuf, sync::Arc};

use headend_rt::{SecretFile, SystemClock};

use super::{Exit, load, talk};
use crate::{
    config,
    domain::Login,
    installation::{self, InstallationError, Made},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// The login of the first operator, who may do everything.
    #[arg(long)]
    operator: String,
    /// A file that holds the operator's password and that others cannot read.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
}

pub(super) async fn run(arguments: Arguments) -> Exit {
    let config = match load(&arguments.config) {
        Ok(checked) => checked.config,
        Err(exit) => return exit,
    };
    let login: Login = match arguments.operator.parse() {
        Ok(login) => login,
        Err(refusal) => return Exit::Usage.say(&refusal),
    };
    // A name without a slash would be taken for a systemd credential; on the command line it is a file here.
    let path = std::path::absolute(&arguments.password_file).unwrap_or(arguments.password_file);
    let password = match SecretFile::at(&path).read() {
        Ok(password) => password,
        Err(error) => return Exit::Usage.say(&error),
    };
    let password = match password.text() {
        Ok(text) => text,
        Err(error) => return Exit::Usage.say(&error),
    };
    let engine = match installation::open_store(&config.state_dir) {
        Ok(engine) => Arc::new(engine),
        Err(error) => return Exit::Failed.say(&error),
    };
    let place = (config.state_dir.as_path(), &config.site);
    match installation::make(engine, place, &SystemClock, (&login, password)).await {
        Ok(Made::New) => {
            talk(&format!(
                "made the installation of site {} in {}; operator {login} may do everything. \
                 Keep a copy of storage.key and fleet-authority.* in a safe place: exports are of no use without them",
                config.site,
                config.state_dir.display()
            ));
            Exit::Done
        }
        Ok(Made::Already) => {
            talk(&format!("already initialised, with operator {login}; nothing was changed"));
            Exit::Done
        }
        Err(error @ InstallationError::Refused(_)) => Exit::Usage.say(&error),
        Err(error) => Exit::Failed.say(&error),
    }
}
