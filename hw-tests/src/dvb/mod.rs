//! The kernel's DVB interface as raw as it comes: device nodes, ioctls, properties.
//!
//! Written from `linux/dvb/frontend.h` and `linux/dvb/dmx.h`, and not from the product's binding on purpose: a wrong
//! number there must not be wrong here too.

mod demux;
mod frontend;
mod nodes;
mod raw;

pub use demux::{DMX_CHECK_CRC, Demux, Dvr, Poll, SectionFilter};
pub use frontend::{Event, Figure, Frontend, Hold, LOCK};
pub use nodes::{Nodes, nodes_of};
pub use raw::{
    DTV_BANDWIDTH_HZ, DTV_DELIVERY_SYSTEM, DTV_FREQUENCY, DTV_INNER_FEC, DTV_INVERSION, DTV_MODULATION, DTV_PILOT,
    DTV_ROLLOFF, DTV_SCRAMBLING_SEQUENCE_INDEX, DTV_STREAM_ID, DTV_SYMBOL_RATE, DTV_TUNE, STATS, Stat,
};
