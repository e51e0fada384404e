//! What is known of a multiplex and its services: plain values, no behaviour but questions.

use std::collections::BTreeMap;
use std::fmt;

use super::{Codec, StreamKind};
use crate::descriptor::{Descriptors, Language, ServiceKind};
use crate::packet::Pid;

/// `service_id` of DVB, which is `program_number` of MPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ServiceId(pub u16);

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One multiplex.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Services {
    /// `transport_stream_id`, from the PAT.
    pub tsid: Option<u16>,
    /// `original_network_id`, from the SDT, else the NIT.
    pub onid: Option<u16>,
    /// Network's name, from the NIT.
    pub network: Option<String>,
    /// Conditional access systems that send EMMs here, from the CAT.
    pub emm: Vec<CaSystem>,
    /// Services of the PAT; while it is missing or empty, those the SDT names. At most 1,024.
    pub list: BTreeMap<ServiceId, Service>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// Its name, from the SDT.
    pub name: Option<String>,
    /// Its provider's name, from the SDT.
    pub provider: Option<String>,
    /// Its kind, from the SDT.
    pub kind: Option<ServiceKind>,
    /// `free_CA_mode` of the SDT: at least one stream may be scrambled.
    pub may_be_scrambled: bool,
    /// Where its PMT is, from the PAT.
    pub pmt_pid: Option<Pid>,
    /// `version_number` of its PMT, once there is one.
    pub pmt_version: Option<u8>,
    /// PCR_PID of its PMT; [`Pid::NULL`] when the PMT says there is none.
    pub pcr_pid: Option<Pid>,
    /// Conditional access systems for all its streams, from the PMT's first loop: ECM PIDs.
    pub ecm: Vec<CaSystem>,
    /// Descriptors of the PMT's first loop, as sent, at most 1,021 bytes.
    pub descriptors: Vec<u8>,
    /// Its streams in the order of the PMT, at most 202.
    pub streams: Vec<Stream>,
}

impl Service {
    /// Numbers of all conditional access systems, of the service and of single streams, in rising order.
    pub fn ca_systems(&self) -> Vec<u16> {
        let of_streams = self.streams.iter().flat_map(|stream| &stream.ecm);
        let mut systems: Vec<_> = self.ecm.iter().chain(of_streams).map(|ca| ca.system).collect();
        systems.sort_unstable();
        systems.dedup();
        systems
    }
}

/// One elementary stream of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Where it is.
    pub pid: Pid,
    /// `stream_type` as sent.
    pub stream_type: u8,
    /// What it is coded in: as announced, or as its first bytes show.
    pub codec: Codec,
    /// Its languages in the order sent, each once.
    pub languages: Vec<Language>,
    /// `component_tag`.
    pub component_tag: Option<u8>,
    /// Conditional access systems of this stream alone: ECM PIDs.
    pub ecm: Vec<CaSystem>,
    /// Its descriptors as sent, at most 1,018 bytes.
    pub descriptors: Vec<u8>,
}

impl Stream {
    /// What it is for.
    pub fn kind(&self) -> StreamKind {
        self.codec.kind()
    }

    /// Its descriptors, to be read.
    pub fn descriptors(&self) -> Descriptors<'_> {
        Descriptors::new(&self.descriptors)
    }
}

/// A conditional access system and where its messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaSystem {
    /// `CA_system_ID`.
    pub system: u16,
    /// PID of its ECMs or EMMs.
    pub pid: Pid,
}
