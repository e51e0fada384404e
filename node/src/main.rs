//! `headend-node`: arguments, log, verb, exit code. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use headend_node::cmd::{Arguments, Exit};
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
        return Exit::say(Exit::Usage, &error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::say(Exit::Failed, &error),
    };
    let code = runtime.block_on(headend_node::cmd::dispatch(arguments));
    // A thread that ignores its token must not hold up the exit.
    runtime.shutdown_background();
    code.into()
}
