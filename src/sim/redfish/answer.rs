//! What a Redfish request is answered with, errors in DSP0266 §9.6 shape included. Builds values; sends nothing.

use serde_json::{Value, json};

/// One answer, before it becomes HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// JSON body; `None` sends none.
    pub body: Option<Value>,
    /// XML body, for `$metadata` alone.
    pub xml: Option<&'static str>,
    /// A body of some other type, with that type.
    pub text: Option<(&'static str, String)>,
}

impl Answer {
    /// A body with 200.
    #[must_use]
    pub fn ok(body: Value) -> Self {
        Self { status: 200, headers: Vec::new(), body: Some(body), xml: None, text: None }
    }

    /// A bare status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None, xml: None, text: None }
    }

    /// A body that is not JSON.
    #[must_use]
    pub fn text(status: u16, kind: &'static str, text: impl Into<String>) -> Self {
        Self { text: Some((kind, text.into())), ..Self::status(status) }
    }

    /// An error with one message of the Base registry.
    #[must_use]
    pub fn error(status: u16, message: &Message) -> Self {
        Self::errors(status, std::slice::from_ref(message))
    }

    /// An error with several messages of the Base registry.
    #[must_use]
    pub fn errors(status: u16, messages: &[Message]) -> Self {
        let severity = if status < 400 { "OK" } else { "Critical" };
        let (code, text) = messages.first().map(|first| (first.full_id(), first.text.clone())).unwrap_or_default();
        let infos: Vec<Value> = messages.iter().map(|message| message.json(severity)).collect();
        let body = json!({ "error": { "code": code, "message": text, "@Message.ExtendedInfo": infos } });
        Self { status, headers: Vec::new(), body: Some(body), xml: None, text: None }
    }

    /// The same answer with a further header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A message of the Base registry (DSP8011), in own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    id: &'static str,
    text: String,
    args: Vec<String>,
    resolution: &'static str,
}

impl Message {
    /// A message by its registry name.
    #[must_use]
    pub fn new(id: &'static str, text: impl Into<String>, args: &[&str], resolution: &'static str) -> Self {
        Self { id, text: text.into(), args: args.iter().map(|a| (*a).to_owned()).collect(), resolution }
    }

    fn full_id(&self) -> String {
        format!("Base.1.16.{}", self.id)
    }

    /// The message as it is sent.
    #[must_use]
    pub fn json(&self, severity: &str) -> Value {
        json!({
            "@odata.type": "#Message.v1_1_2.Message",
            "MessageId": self.full_id(),
            "Message": self.text,
            "MessageArgs": self.args,
            "MessageSeverity": severity,
            "Severity": severity,
            "Resolution": self.resolution,
        })
    }

    /// Nothing lives at this URI.
    #[must_use]
    pub fn missing(uri: &str) -> Self {
        Self::new("ResourceMissingAtURI", format!("there is no resource at {uri}"), &[uri], "check the URI")
    }

    /// The caller has not said who it is, or not rightly.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new("NoValidSession", "no valid session or credentials came with the request", &[], "log in and try again")
    }

    /// The body is not JSON.
    #[must_use]
    pub fn malformed() -> Self {
        Self::new("MalformedJSON", "the body is not a JSON object", &[], "send well-formed JSON")
    }

    /// The BMC has something else to do.
    #[must_use]
    pub fn busy() -> Self {
        Self::new("ServiceTemporarilyUnavailable", "the service is busy; try again in 1 second", &["1"], "wait and try again")
    }

    /// All went well.
    #[must_use]
    pub fn success() -> Self {
        Self::new("Success", "the request completed", &[], "none")
    }
}
