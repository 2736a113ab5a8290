//! TLS to PostgreSQL, by rustls.
//!
//! Deliberately absent: certificates of our own to show (a password says who we are), and the binding of
//! a password to the connection, which adds nothing where the server's name is verified.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::StoreError;

/// What PostgreSQL is called by whoever negotiates by that.
const PROTOCOL: &[u8] = b"postgresql";

/// Whom we speak to.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    /// Whoever answers: nobody can listen, but somebody between could be the one who answers.
    Anybody,
    /// Whoever has a certificate of these authorities, for whatever name.
    AnyNameOf(RootCertStore),
    /// Who has one for the name in the address.
    TheNameOf(RootCertStore),
}

/// Makes connections private.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    pub(super) fn new(trust: Trust) -> Self {
        let crypto = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&crypto))
            .with_safe_default_protocol_versions()
            .expect("ring speaks both versions of TLS that are in use");
        let mut config = match trust {
            Trust::TheNameOf(roots) => config.with_root_certificates(roots).with_no_client_auth(),
            Trust::AnyNameOf(roots) => config
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyName { roots: Some(roots), crypto }))
                .with_no_client_auth(),
            Trust::Anybody => config
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyName { roots: None, crypto }))
                .with_no_client_auth(),
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Self(Arc::new(config))
    }
}

/// The authorities in a file, as PEM.
pub(super) fn read_authorities(path: &Path) -> Result<RootCertStore, StoreError> {
    let refusal = |why: String| StoreError::NotAStore(format!("{}: {why}", path.display()));
    let mut authorities = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(path).map_err(|error| refusal(error.to_string()))?;
    for authority in found {
        let authority = authority.map_err(|error| refusal(error.to_string()))?;
        authorities.add(authority).map_err(|error| refusal(error.to_string()))?;
    }
    if authorities.is_empty() {
        return Err(refusal("no certificate is in this file".to_owned()));
    }
    Ok(authorities)
}

/// Looks at who signed a certificate, if anybody must have, and not at whose name it is for.
#[derive(Debug)]
struct AnyName {
    roots: Option<RootCertStore>,
    crypto: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(certificate)?;
            let known = self.crypto.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, between, now, known)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.crypto.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.crypto.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Stream = Private<S>;
    type TlsConnect = Handshake;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, InvalidDnsNameError> {
        let name = ServerName::try_from(host)?.to_owned();
        Ok(Handshake { with: TlsConnector::from(Arc::clone(&self.0)), name })
    }
}

/// What is about to be done on a new connection.
pub(super) struct Handshake {
    with: TlsConnector,
    name: ServerName<'static>,
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Stream = Private<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Private<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let handshake = self.with.connect(self.name, stream);
        Box::pin(async { handshake.await.map(Private) })
    }
}

/// A connection that is private.
pub(super) struct Private<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Private<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Private<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Private<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
