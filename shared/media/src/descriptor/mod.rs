//! Descriptors: the tagged pieces that PSI and SI tables carry (ISO/IEC 13818-1 §2.6, ETSI EN 300 468 §6).
//!
//! Every reader takes the bytes behind `descriptor_length` and gives a value, or `None` when they are too few. No
//! reader looks at tables; `table` hands out loops, `service` decides what they mean together.

mod walk;

pub use walk::{Descriptor, Descriptors, tag};
