//! `headend-controller`: arguments, log, verb, exit code. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use headend_controller::cmd::{Arguments, Exit};
use headend_rt::trace::{self, Form};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not errors.
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return code.into();
        }
    };
    headend_rt::tls::install_crypto();
    let form = if arguments.log_json { Form::Json } else { Form::Human };
    if let Err(error) = trace::start(&arguments.log, form) {
        return Exit::Usage.say(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::Failed.say(&error),
    };
    let code = runtime.block_on(headend_controller::cmd::dispatch(arguments));
    // Threads of the embedded broker never end; they must not hold up the exit.
    runtime.shutdown_background();
    code.into()
}
