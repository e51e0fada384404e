//! The fleet's certificate authority: signs the certificates of nodes, and our own for the fleet's listener.
//!
//! One key per installation, made at the first start and kept in the state folder, mode 0600. A certificate
//! request gives us a public key and nothing else: subject, uses and lifetime are ours to say. ECDSA P-256
//! (every TLS stack has it); a node's certificate lasts a year, the authority twenty.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use headend_rt::{
    atomic_file::{self, FileError},
    tls::{ClientCheck, Identity},
};
use headend_wire::SiteName;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};
use sha2::{Digest, Sha256};

use super::state::NodeKey;

const KEY_FILE: &str = "fleet-authority.key";
const CERTIFICATE_FILE: &str = "fleet-authority.pem";
const SERVER_KEY_FILE: &str = "fleet-server.key";
const SERVER_CERTIFICATE_FILE: &str = "fleet-server.pem";
const FILE_BYTES_MAX: u64 = 64 * 1024;
const DAY: Duration = Duration::from_secs(86_400);
const AUTHORITY_DAYS: u32 = 20 * 365;
const NODE_DAYS: u32 = 365;
/// A clock of a box that has not met its time server yet may be a little behind.
const BACKDATED: Duration = Duration::from_secs(3_600);

/// Why the authority could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("fleet authority file")]
    File(#[from] FileError),
    /// Only one of key and certificate is there.
    #[error("fleet authority in {}: key or certificate is missing; restore both from the backup", folder.display())]
    Half {
        /// Where.
        folder: PathBuf,
    },
    /// A key or certificate cannot be made or read.
    #[error("fleet authority: {what}")]
    Certificate {
        /// What was attempted.
        what: &'static str,
        /// What rcgen said.
        #[source]
        source: rcgen::Error,
    },
    /// The request is for another name than the one enrolled.
    #[error("certificate request is not for {node}")]
    OtherName {
        /// The name of the code.
        node: String,
    },
    /// The time cannot be written in a certificate.
    #[error("fleet authority: the wall clock is out of range")]
    Clock,
}

fn failed(what: &'static str) -> impl FnOnce(rcgen::Error) -> AuthorityError {
    move |source| AuthorityError::Certificate { what, source }
}

/// Signs certificates of the fleet.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    fingerprint: String,
    folder: PathBuf,
}

impl Authority {
    /// Opens the authority in `folder`, or makes one there, named for the site. Blocks on the disk.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn open(folder: &Path, site: &SiteName, now: Timestamp) -> Result<Self, AuthorityError> {
        let (key_path, certificate_path) = (folder.join(KEY_FILE), folder.join(CERTIFICATE_FILE));
        let key = read_text(&key_path)?;
        let certificate = read_text(&certificate_path)?;
        let (key_pem, certificate_pem) = match (key, certificate) {
            (Some(key), Some(certificate)) => (key, certificate),
            (None, None) => {
                let (key, certificate) = make(site, now)?;
                atomic_file::write(&key_path, key.as_bytes(), 0o600)?;
                atomic_file::write(&certificate_path, certificate.as_bytes(), 0o644)?;
                (key, certificate)
            }
            _ => return Err(AuthorityError::Half { folder: folder.to_owned() }),
        };
        let key = KeyPair::from_pem(&key_pem).map_err(failed("its key is not readable"))?;
        let issuer =
            Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(failed("its certificate is not readable"))?;
        let fingerprint = fingerprint(&certificate_pem);
        Ok(Self { issuer, certificate_pem, fingerprint, folder: folder.to_owned() })
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// SHA-256 of its certificate, hexadecimal: read out with the enrolment code, it tells a node that it
    /// talks to the right controller.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Signs a node's certificate request.
    ///
    /// # Errors
    /// [`AuthorityError::Certificate`] when the request is not readable or not signed by its own key,
    /// [`AuthorityError::OtherName`] when its common name is not the node's.
    pub fn sign(&self, request: &Request, key: &NodeKey, now: Timestamp) -> Result<String, AuthorityError> {
        if request.common_name() != Some(key.node.as_str()) {
            return Err(AuthorityError::OtherName { node: key.node.to_string() });
        }
        let mut params = params(key.node.as_str(), now, NODE_DAYS)?;
        params.distinguished_name.push(DnType::OrganizationName, key.site.as_str());
        // Nodes also serve each other over the tunnel.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let signed =
            params.signed_by(&request.0.public_key, &self.issuer).map_err(failed("request cannot be signed"))?;
        Ok(signed.pem())
    }

    /// Makes our own certificate for `names` (host names or addresses), and says where it is and how clients
    /// are checked: without a certificate they may only enrol. Blocks on the disk.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn server(&self, names: &[String], now: Timestamp) -> Result<(Identity, ClientCheck), AuthorityError> {
        let key = KeyPair::generate().map_err(failed("no key for the listener"))?;
        let mut params = params("headend controller", now, NODE_DAYS)?;
        let names = CertificateParams::new(names.to_vec()).map_err(failed("a name of the listener is none"))?;
        params.subject_alt_names = names.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let signed = params.signed_by(&key, &self.issuer).map_err(failed("no certificate for the listener"))?;
        let identity =
            Identity { cert: self.folder.join(SERVER_CERTIFICATE_FILE), key: self.folder.join(SERVER_KEY_FILE) };
        atomic_file::write(&identity.key, key.serialize_pem().as_bytes(), 0o600)?;
        atomic_file::write(&identity.cert, signed.pem().as_bytes(), 0o644)?;
        let authority = self.folder.join(CERTIFICATE_FILE);
        Ok((identity, ClientCheck { authority, revoked: None, required: false }))
    }
}

/// A certificate request whose signature was checked.
pub struct Request(CertificateSigningRequestParams);

impl Request {
    /// Reads a request, PEM, and checks that it is signed by its own key.
    ///
    /// # Errors
    /// [`AuthorityError::Certificate`].
    pub fn from_pem(pem: &str) -> Result<Self, AuthorityError> {
        CertificateSigningRequestParams::from_pem(pem).map(Self).map_err(failed("certificate request is not readable"))
    }

    /// The common name it asks for.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        match self.0.params.distinguished_name.get(&DnType::CommonName)? {
            rcgen::DnValue::Utf8String(name) => Some(name),
            rcgen::DnValue::PrintableString(name) => Some(name.as_str()),
            _ => None,
        }
    }
}

fn read_text(path: &Path) -> Result<Option<String>, AuthorityError> {
    let bytes = atomic_file::read(path, FILE_BYTES_MAX)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn make(site: &SiteName, now: Timestamp) -> Result<(String, String), AuthorityError> {
    let key = KeyPair::generate().map_err(failed("no key"))?;
    let mut params = params(&format!("headend fleet of {site}"), now, AUTHORITY_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(failed("no certificate"))?;
    Ok((key.serialize_pem(), certificate.pem()))
}

fn params(common_name: &str, now: Timestamp, days: u32) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = std::time::SystemTime::from(now);
    let out_of_range = || AuthorityError::Clock;
    params.not_before = now.checked_sub(BACKDATED).ok_or_else(out_of_range)?.into();
    params.not_after = now.checked_add(DAY.saturating_mul(days)).ok_or_else(out_of_range)?.into();
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|_| AuthorityError::Certificate {
        what: "no random serial number",
        source: rcgen::Error::RingUnspecified,
    })?;
    // Positive, as RFC 5280 section 4.1.2.2 wants it.
    serial[0] &= 0x7F;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// SHA-256 of the first certificate of a PEM text.
fn fingerprint(pem: &str) -> String {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map(|der| der.to_vec()).unwrap_or_default();
    Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key() -> NodeKey {
        NodeKey { site: "caribbean".parse().unwrap(), node: "car-1".parse().unwrap() }
    }

    fn request(name: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serialize_request(&key).unwrap().pem().unwrap()
    }

    fn open(folder: &Path) -> Authority {
        Authority::open(folder, &"caribbean".parse().unwrap(), Timestamp::now()).unwrap()
    }

    #[test]
    fn it_is_made_once_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path()).fingerprint().to_owned();
        assert_eq!((first.len(), open(folder.path()).fingerprint()), (64, first.as_str()));
        let mode = std::fs::metadata(folder.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_file(folder.path().join(KEY_FILE)).unwrap();
        let error = Authority::open(folder.path(), &"caribbean".parse().unwrap(), Timestamp::now()).err().unwrap();
        assert!(error.to_string().contains("restore both from the backup"), "{error}");
    }

    #[test]
    fn a_request_gets_our_subject_and_nothing_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let authority = open(folder.path());
        let signed = authority.sign(&Request::from_pem(&request("car-1")).unwrap(), &key(), Timestamp::now()).unwrap();
        assert!(signed.starts_with("-----BEGIN CERTIFICATE-----"));
        let issued = Issuer::from_ca_cert_pem(&signed, KeyPair::generate().unwrap());
        assert!(issued.is_ok(), "readable: {:?}", issued.err());
        let other = authority.sign(&Request::from_pem(&request("car-2")).unwrap(), &key(), Timestamp::now());
        assert_eq!(other.unwrap_err().to_string(), "certificate request is not for car-1");
    }

    #[test]
    fn an_altered_request_is_refused() {
        use rustls::pki_types::{CertificateSigningRequestDer, pem::PemObject};
        let pem = request("car-1");
        let mut der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
        let at = der.windows(5).position(|window| window == b"car-1").unwrap();
        der[at + 4] = b'2';
        let altered = CertificateSigningRequestParams::from_der(&der.into());
        assert!(altered.is_err());
        assert!(Request::from_pem("nonsense").is_err());
    }
}
