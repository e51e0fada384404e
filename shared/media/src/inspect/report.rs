//! The report's shape, which outside programs read: names and meanings here are kept stable.
//!
//! PIDs and ids are numbers, times RFC 3339 in UTC. What the stream does not tell is `null`.

use serde::{Deserialize, Serialize};

use crate::descriptor::{Language, ServiceKind};
use crate::packet::Pid;
use crate::service::{ServiceId, StreamKind};

/// What an inspection found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Transport packets seen, null packets too.
    pub packets: u64,
    /// Bits per second of the whole multiplex by the PCR that covers most of it, counting 188 bytes a packet.
    pub bitrate: Option<u64>,
    /// Times the sync was lost.
    pub sync_losses: u64,
    /// Continuity errors of all PIDs.
    pub cc_errors: u64,
    /// Packets with `transport_error_indicator`.
    pub tei: u64,
    /// Sections of watched tables that failed their CRC.
    pub crc_errors: u64,
    /// `transport_stream_id`.
    pub tsid: Option<u16>,
    /// `original_network_id`.
    pub onid: Option<u16>,
    /// Network's name.
    pub network: Option<String>,
    /// Services by rising id.
    pub services: Vec<ReportService>,
    /// Events of the multiplex's own services, by service, then start.
    pub epg: Vec<ReportEvent>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportService {
    /// `service_id`, which is the programme number.
    pub id: ServiceId,
    /// Name.
    pub name: Option<String>,
    /// Provider's name.
    pub provider: Option<String>,
    /// A word: `tv`, `radio`, `teletext`, `data`, `other`. Where no SDT tells, `tv` or `radio` by the streams.
    #[serde(rename = "type")]
    pub kind: Option<ServiceKind>,
    /// PID of the PMT.
    pub pmt_pid: Option<Pid>,
    /// PCR_PID as the PMT says it, 8191 for none; `null` before the PMT came.
    pub pcr_pid: Option<Pid>,
    /// Whether packets of its streams came scrambled; by the SDT's flag where none came at all.
    pub scrambled: bool,
    /// Numbers of its conditional access systems, rising.
    pub ca_systems: Vec<u16>,
    /// Streams in the order of the PMT.
    pub streams: Vec<ReportStream>,
}

/// One elementary stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportStream {
    /// PID.
    pub pid: Pid,
    /// A word, as ffprobe's codec_type: `video`, `audio`, `subtitle` (teletext too), `data`.
    #[serde(rename = "type")]
    pub kind: StreamKind,
    /// Codec as ffprobe names it: `h264`, `hevc`, `mpeg2video`, `mp2`, `aac`, `aac_latm`, `ac3`, `eac3`,
    /// `dvb_subtitle`, `dvb_teletext`, `scte_35`; `null` for private data.
    pub codec: Option<String>,
    /// Languages as sent, with commas between several.
    pub language: Option<String>,
    /// Packets seen; 0 for a stream that is only announced.
    pub packets: u64,
    /// Continuity errors.
    pub cc_errors: u64,
    /// Whether any of its packets came scrambled.
    pub scrambled: bool,
}

/// One event of the guide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportEvent {
    /// `service_id`.
    pub service: ServiceId,
    /// `event_id`.
    pub event_id: u16,
    /// Start.
    pub start: Option<jiff::Timestamp>,
    /// Duration in seconds.
    pub duration_s: Option<u32>,
    /// Title in the first language sent.
    pub title: String,
    /// That language.
    pub language: Option<Language>,
    /// Whether it is the present event and running.
    pub running: bool,
}
