//! `enrol`: trades a one-time code for this box's certificate.

use std::path::PathBuf;

use super::Exit;
use crate::{
    agent::{controller, identity},
    config,
};

/// Arguments of `enrol`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; it says who this box is and where the controller is.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// The code an operator made for this box; good for ten minutes and one use.
    #[arg(long)]
    code: String,
    /// The fleet's authority (PEM), as the controller keeps it; so that no stranger can pose as the controller.
    #[arg(long)]
    authority: PathBuf,
}

pub(super) async fn run(arguments: Arguments) -> Exit {
    let config = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return Exit::ConfigInvalid.say(&error),
    };
    let client = match controller::client(&arguments.authority, None) {
        Ok(client) => client,
        Err(error) => return Exit::ConfigInvalid.say(&error),
    };
    match identity::enrol(&config.state_dir, &config.name, &config.controller_url, &arguments.code, &client).await {
        Ok(answer) => {
            tell(answer.site.as_str(), answer.node.as_str());
            Exit::Done
        }
        Err(error @ identity::IdentityError::Unreachable { .. }) => Exit::Unreachable.say(&error),
        Err(error @ identity::IdentityError::Refused { .. }) => Exit::NotAuthorised.say(&error),
        Err(error) => Exit::Failed.say(&error),
    }
}

#[expect(clippy::print_stdout, reason = "the verb's answer")]
fn tell(site: &str, node: &str) {
    println!("enrolled as {site}/{node}; start the node with `headend-node run`");
}
