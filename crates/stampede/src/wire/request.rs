//! A request, as the bytes that are sent.

/// A request that is about to be rendered. What goes into its head is checked: see [`Self::render`].
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    method: &'static str,
    path: &'a str,
    host: &'a str,
    token: Option<&'a str>,
    idempotency_key: Option<&'a str>,
    if_none_match: Option<&'a str>,
    json: Option<&'a str>,
}

/// Whether a text may stand in a request's head as the value of a field, by RFC 9110, in ASCII.
///
/// What comes from an answer is not ours: it is looked at before it goes into a request.
#[must_use]
pub fn is_field_value(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

impl<'a> Request<'a> {
    /// Asks for what is at a path.
    #[must_use]
    pub const fn get(path: &'a str) -> Self {
        Self::new("GET", path)
    }

    /// Sends something to a path.
    #[must_use]
    pub const fn post(path: &'a str) -> Self {
        Self::new("POST", path)
    }

    /// Takes away what is at a path.
    #[must_use]
    pub const fn delete(path: &'a str) -> Self {
        Self::new("DELETE", path)
    }

    /// Any other verb.
    #[must_use]
    pub const fn new(method: &'static str, path: &'a str) -> Self {
        Self {
            method,
            path,
            host: "localhost",
            token: None,
            idempotency_key: None,
            if_none_match: None,
            json: None,
        }
    }

    /// Whom the request is for; `localhost` when it is not said.
    #[must_use]
    pub const fn host(self, host: &'a str) -> Self {
        Self { host, ..self }
    }

    /// The queue token, or another bearer token.
    #[must_use]
    pub const fn token(self, token: &'a str) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The key under which the server remembers the effect.
    #[must_use]
    pub const fn idempotency_key(self, key: &'a str) -> Self {
        Self { idempotency_key: Some(key), ..self }
    }

    /// The version that is known already, with its quotation marks.
    #[must_use]
    pub const fn if_none_match(self, etag: &'a str) -> Self {
        Self { if_none_match: Some(etag), ..self }
    }

    /// A body in JSON.
    #[must_use]
    pub const fn json(self, body: &'a str) -> Self {
        Self { json: Some(body), ..self }
    }

    /// The request's bytes.
    ///
    /// # Panics
    /// As [`Self::render`].
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        self.render(&mut bytes);
        bytes
    }

    /// Writes the request behind what is in `bytes` already.
    ///
    /// # Panics
    /// When a part of the head cannot stand there, which would make two requests of one: whoever
    /// takes such a part from elsewhere asks [`is_field_value`] before.
    pub fn render(&self, bytes: &mut Vec<u8>) {
        assert!(
            self.path.starts_with('/') && self.path.bytes().all(|byte| byte.is_ascii_graphic()),
            "not a path: {:?}",
            self.path
        );
        bytes.extend_from_slice(self.method.as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(self.path.as_bytes());
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        field(bytes, "Host: ", self.host);
        if let Some(token) = self.token {
            field(bytes, "Authorization: Bearer ", token);
        }
        if let Some(key) = self.idempotency_key {
            field(bytes, "Idempotency-Key: ", key);
        }
        if let Some(etag) = self.if_none_match {
            field(bytes, "If-None-Match: ", etag);
        }
        if let Some(json) = self.json {
            field(bytes, "Content-Type: ", "application/json");
            field(bytes, "Content-Length: ", &json.len().to_string());
        } else if self.method == "POST" {
            field(bytes, "Content-Length: ", "0");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.json.unwrap_or_default().as_bytes());
    }
}

fn field(bytes: &mut Vec<u8>, name: &'static str, value: &str) {
    assert!(is_field_value(value), "not a value of a field: {value:?}");
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(value.as_bytes());
    bytes.extend_from_slice(b"\r\n");
}
