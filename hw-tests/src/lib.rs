//! Tests against the kernel's own DVB API and real PC/SC, in a virtual machine or on a bench with hardware.
//!
//! Two programs: `hw-host` builds modules and machine and prints the table; `hw-guest` runs the list of checks, as the
//! first program of the virtual machine or as a plain program on a bench. They talk in lines ([`line`]). Nothing of
//! Headend's own code looks at tuners, streams or cards here: what the product is measured against must not share its
//! mistakes. The exceptions are what a controller leaves on a node's disk ([`node`]), which only its own crates can seal and sign,
//! and the cipher that opens a segment ([`power`]).

pub mod air;
pub mod bench;
pub mod cam;
pub mod card;
pub mod checks;
pub mod dvb;
pub mod feeder;
pub mod knobs;
pub mod line;
pub mod mux;
pub mod node;
pub mod power;
pub mod reader;
pub mod wait;
