//! Configurations of a Flussonic: read or refused; what reads is printed and reads the same, and an import is whole after
//! one time.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;

/// The importer and the rules of channels, taken in as source: the controller as a whole would bring its 300 packages.
#[expect(unused_imports, reason = "the shell of the importer is not used here")]
#[path = "../../../controller/src/flussonic/mod.rs"]
mod flussonic;

#[expect(dead_code, reason = "only what an import checks is used here")]
#[path = "../../../controller/src/domain"]
mod domain {
    pub mod channel;
    pub mod name;
    pub mod refusal;
    pub mod tariff;

    pub use channel::{Channel, Source};
    pub use name::Tag;
}

use flussonic::{Wishes, grammar, report};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = grammar::text(bytes)
        && let Ok(statements) = grammar::parse(text)
    {
        assert!(grammar::parse(&grammar::print(&statements)).as_ref() == Ok(&statements));
    }
    let wishes =
        || Wishes { site: "site".parse().expect("it is a name"), tags: Default::default(), renames: BTreeMap::new() };
    let mut there = BTreeMap::new();
    for round in 0..2 {
        let Ok(config) = flussonic::read(bytes) else { return };
        let Ok(plan) = flussonic::plan(config, &wishes(), &there) else { return };
        let _ = (report::text(&plan), report::machine(&plan));
        assert!(round == 0 || plan.changes.is_empty());
        there.extend(plan.changes.into_iter().map(|change| (change.after.name.clone(), change.after)));
    }
});
