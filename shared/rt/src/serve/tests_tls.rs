//! TLS on the real server: who is let in, under which name, and how long a handshake may take.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::routing::get;
use axum::{Extension, Router};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tests::{Running, within};
use super::{Limits, PeerCertificate};
use crate::tls::{ClientCheck, Identity, TlsError, TlsHandle, client_config, server_config};

const REVOKED_SERIAL: u64 = 66;

/// An authority with a folder of what it signed.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let authority = Self { folder, issuer: Issuer::new(params, key) };
        authority.write_revoked();
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sign(&self, name: &str, serial: u64) -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let identity = Identity { cert: self.path(&format!("{name}.pem")), key: self.path(&format!("{name}.key")) };
        fs::write(&identity.cert, certificate.pem()).unwrap();
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        chmod(&identity.key, 0o600);
        identity
    }

    fn write_revoked(&self) {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(REVOKED_SERIAL),
                revocation_time: date_time_ymd(2024, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        fs::write(self.path("revoked.pem"), list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
    }

    fn server(&self, required: bool, limits: Limits) -> Running {
        let identity = self.sign("server", 1);
        let check = ClientCheck { authority: self.path("ca.pem"), revoked: Some(self.path("revoked.pem")), required };
        let tls = TlsHandle::new(server_config(&identity, Some(&check)).unwrap());
        let who = |certificate: Option<Extension<PeerCertificate>>| async move {
            let name = certificate.as_ref().map(|Extension(certificate)| certificate.common_name());
            format!("name {name:?}")
        };
        Running::start(limits, Some(tls), Router::new().route("/", get(who)))
    }

    /// Asks who we are, as `identity`.
    async fn ask(&self, server: &Running, identity: Option<&Identity>) -> io::Result<String> {
        let config = client_config(&self.path("ca.pem"), identity).unwrap();
        let socket = TcpStream::connect(server.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = within(TlsConnector::from(config).connect(name, socket)).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await?;
        Ok(answer)
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let known = ours.sign("caribbean-1", 2);
    let revoked = ours.sign("stolen-1", REVOKED_SERIAL);
    let foreign = theirs.sign("foreign-1", 2);

    let open = ours.server(false, Limits::default());
    assert!(ours.ask(&open, Some(&known)).await.unwrap().ends_with("name Some(Some(\"caribbean-1\"))"));
    assert!(ours.ask(&open, None).await.unwrap().ends_with("name None"));
    assert!(ours.ask(&open, Some(&revoked)).await.is_err(), "revoked");
    assert!(ours.ask(&open, Some(&foreign)).await.is_err(), "signed by another authority");
    assert!(theirs.ask(&open, None).await.is_err(), "the client checks the server too");

    let closed = ours.server(true, Limits::default());
    assert!(ours.ask(&closed, Some(&known)).await.is_ok());
    assert!(ours.ask(&closed, None).await.is_err(), "a certificate is asked for");
    closed.until("the failed handshake", |counts| counts.handshake_failed == 1).await;
}

#[tokio::test]
async fn a_silent_handshake_is_cut() {
    let authority = Authority::new();
    let limits = Limits { handshake: Duration::from_millis(150), ..Limits::default() };
    let server = authority.server(false, limits);
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(within(silent.read(&mut [0; 1])).await.unwrap(), 0);
    server.until("the cut", |counts| counts.timed_out_handshake == 1 && counts.open == 0).await;
    assert!(authority.ask(&server, None).await.is_ok());
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let authority = Authority::new();
    let good = authority.sign("good", 2);
    let check = |identity: &Identity, want: &str| {
        let line = crate::chain(&server_config(identity, None).unwrap_err());
        let line = line.replace(&authority.folder.path().display().to_string(), "DIR");
        assert!(line.starts_with(want), "{line}");
    };
    let other = authority.sign("other", 3);
    check(&Identity { key: other.key, ..good.clone() }, "use certificate DIR/good.pem: ");
    check(&Identity { cert: good.key.clone(), ..good.clone() }, "no certificate in DIR/good.key");
    check(&Identity { cert: authority.path("absent"), ..good.clone() }, "read certificate from DIR/absent: ");
    chmod(&good.key, 0o644);
    check(&good, "read private key: secret DIR/good.key can be reached by every user (mode 0644)");
    fs::write(authority.path("broken"), "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
    let error = client_config(&authority.path("broken"), None).unwrap_err();
    assert!(matches!(error, TlsError::Pem { what: "certificate", .. }), "{error}");
}
