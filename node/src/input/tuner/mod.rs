//! Tuners: DVB-S, S2, T and T2 through the kernel's DVB API.
//!
//! Pure, in the order of a tune: [`units`], [`delivery`] and [`mux`] (what is asked for), [`antenna`] and [`lnb`] (what
//! hangs on the cable), [`inventory`] (the node's file), [`arbiter`] (who gets which tuner), [`rotation`] (which spare one is proved),
//! [`sec`] (what is sent up the
//! cable), [`tune`] (what the frontend is told), [`lock`] (what to do next), [`figures`] and [`modcod`] (what it tells
//! back), [`losses`] (whose fault a gap was).
//!
//! Shells: [`frontend`] is the seam, [`linux`] and [`replay`] (with [`script`]) are its two ends; [`worker`] is the one
//! thread that may wait for a driver; [`place`], [`uevent`] and [`reset`] read and write sysfs; [`pool`] owns all tuners,
//! and a session (`session.rs`) keeps one multiplex on one of them, for the users of [`demand`], told by [`report`];
//! `proving.rs` tries spare ones.
//! [`chart`] and [`search`] are a scan's lists.

pub mod antenna;
pub mod arbiter;
pub mod chart;
pub mod delivery;
pub mod demand;
pub mod figures;
pub mod frontend;
pub mod inventory;
pub mod linux;
pub mod lnb;
pub mod lock;
pub mod losses;
pub mod modcod;
pub mod mux;
pub mod place;
pub mod pool;
mod proving;
pub mod replay;
pub mod report;
pub mod reset;
pub mod rotation;
pub mod script;
pub mod search;
pub mod sec;
pub(crate) mod session;
mod talk;
pub mod tune;
pub mod uevent;
pub mod units;
pub mod worker;
