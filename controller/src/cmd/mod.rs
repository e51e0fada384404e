//! The verbs of `headend-controller`. Data goes to stdout, talk to stderr; a verb gives the exit code.
