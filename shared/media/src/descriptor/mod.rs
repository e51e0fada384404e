//! Descriptors: the tagged pieces that PSI and SI tables carry (ISO/IEC 13818-1 §2.6, ETSI EN 300 468 §6).
//!
//! Every reader takes the bytes behind `descriptor_length` and gives a value, or `None` when they are too few. No
//! reader looks at tables; `table` hands out loops, `service` decides what they mean together.

mod access;
mod codec;
mod delivery;
mod event;
mod service;
mod stream;
mod walk;

pub use access::{CaDescriptor, ca};
pub use codec::{Aac, Ac3, Hevc, aac, ac3, hevc};
pub use delivery::{
    S2Delivery, SatelliteDelivery, T2Delivery, TerrestrialDelivery, Wave, s2_delivery, satellite_delivery, t2_delivery,
    terrestrial_delivery,
};
pub use event::{
    Content, ExtendedEvent, ExtendedPart, ParentalRating, ShortEvent, content, extended_events, extended_part,
    parental_ratings, short_event,
};
pub use service::{ServiceDescriptor, ServiceKind, service};
pub use stream::{
    AudioLanguage, Language, NotALanguage, Subtitle, SupplementaryAudio, TeletextPage, component_tag, languages,
    registration, subtitles, supplementary_audio, teletext,
};
pub use walk::{Descriptor, Descriptors, tag};
