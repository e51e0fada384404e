//! Live feeds for tests and the demo: files sent to UDP at their own pace by `headend-node replay`.

use std::path::Path;

use anyhow::Result;

use crate::program::Program;

/// A feed that can be cut and brought back.
#[derive(Debug)]
pub struct Feed {
    file: String,
    address: String,
    log: std::path::PathBuf,
    program: Option<Program>,
}

impl Feed {
    /// Starts to send `file`, looped without a seam, to a UDP address such as `udp://127.0.0.1:5004`.
    ///
    /// # Errors
    /// When the sender cannot be started.
    pub fn start(file: &Path, address: &str, log: &Path) -> Result<Self> {
        let (file, address) = (file.display().to_string(), address.to_owned());
        let mut feed = Self { file, address, log: log.to_path_buf(), program: None };
        feed.resume()?;
        Ok(feed)
    }

    /// Cuts the feed as a falling dish would: no more packets, from one moment to the next.
    ///
    /// # Errors
    /// When the sender cannot be killed.
    pub async fn cut(&mut self) -> Result<()> {
        match self.program.take() {
            Some(mut program) => program.kill().await,
            None => Ok(()),
        }
    }

    /// Brings it back.
    ///
    /// # Errors
    /// When the sender cannot be started.
    pub fn resume(&mut self) -> Result<()> {
        let arguments = ["replay", &self.file, "--to", &self.address];
        self.program = Some(Program::spawn("headend-node", &arguments, &self.log)?);
        Ok(())
    }
}
