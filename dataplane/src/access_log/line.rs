//! A record as a line of JSON. Written by hand: with a serializer, names and values that need no
//! escape took as long as a tenth of a plain request.

use std::fmt::Display;
use std::io::Write;

use jiff::fmt::temporal::DateTimePrinter;

use super::{End, Models, Record, Tokens};

/// Appends a record and the end of its line.
pub(super) fn append(lines: &mut Vec<u8>, record: &Record) {
    let Record {
        time,
        request_id,
        remote,
        host,
        method,
        path,
        status,
        operation,
        namespace,
        route,
        rule,
        consumer,
        provider,
        credential,
        protocol,
        model,
        stream,
        tokens,
        first_token_ms,
        duration_ms,
        failed_attempts,
        retry,
        bytes_in,
        bytes_out,
        end,
        error,
    } = record;
    let mut line = Members(lines);
    line.plain("{\"time\":\"");
    // Writing to memory does not fail.
    let _ = DateTimePrinter::new().print_timestamp(time, &mut *line.0);
    line.plain("\"");
    line.text(",\"request_id\":", request_id.as_str());
    line.shown(",\"remote\":", remote);
    line.text(",\"host\":", host.as_deref().unwrap_or_default());
    line.text(",\"method\":", method.as_str());
    line.text(",\"path\":", path);
    line.number(",\"status\":", u64::from(*status));
    line.known(",\"operation\":", *operation);
    line.known(",\"namespace\":", namespace.as_deref());
    line.known(",\"route\":", route.as_deref());
    line.known(",\"rule\":", rule.as_deref());
    let consumer = consumer.as_ref().map(|consumer| &*consumer.name.name);
    line.known(",\"consumer\":", consumer);
    line.known(",\"provider\":", provider.as_deref());
    line.known(",\"credential\":", credential.as_deref());
    line.known(",\"protocol\":", *protocol);
    line.models(model);
    line.truth(",\"stream\":", *stream);
    if let Some(tokens) = tokens {
        line.tokens(tokens);
    }
    line.count(",\"first_token_ms\":", *first_token_ms);
    line.number(",\"duration_ms\":", *duration_ms);
    let failed = u64::from(*failed_attempts);
    line.count(",\"failed_attempts\":", (failed > 0).then_some(failed));
    line.known(",\"retry\":", *retry);
    line.number(",\"bytes_in\":", *bytes_in);
    line.number(",\"bytes_out\":", *bytes_out);
    line.end(*end);
    line.known(",\"error\":", error.as_deref());
    line.plain("}\n");
}

/// Writes members; each name brings its comma, quotes and colon along.
struct Members<'a>(&'a mut Vec<u8>);

impl Members<'_> {
    fn plain(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn text(&mut self, name: &str, value: &str) {
        self.plain(name);
        // Without a branch, so that the compiler makes vectors of it.
        let is_plain = value.bytes().fold(true, |is_plain, byte| {
            is_plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\')
        });
        if is_plain {
            self.plain("\"");
            self.plain(value);
            self.plain("\"");
        } else {
            let _ = serde_json::to_writer(&mut *self.0, value);
        }
    }

    fn known(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// What needs no escape, whatever it says.
    fn shown(&mut self, name: &str, value: impl Display) {
        self.plain(name);
        let _ = write!(self.0, "\"{value}\"");
    }

    fn number(&mut self, name: &str, value: u64) {
        self.plain(name);
        self.plain(itoa::Buffer::new().format(value));
    }

    fn count(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    fn truth(&mut self, name: &str, value: bool) {
        self.plain(name);
        self.plain(if value { "true" } else { "false" });
    }

    fn models(&mut self, models: &Models) {
        let mut separator = ",\"model\":{";
        for (name, model) in [
            ("\"requested\":", models.requested.as_deref()),
            ("\"upstream\":", models.upstream.as_deref()),
            ("\"response\":", models.response.as_deref()),
        ] {
            if let Some(model) = model {
                self.plain(separator);
                self.text(name, model);
                separator = ",";
            }
        }
        if separator == "," {
            self.plain("}");
        }
    }

    fn tokens(&mut self, tokens: &Tokens) {
        self.number(",\"tokens\":{\"input\":", tokens.input);
        self.count(",\"cached\":", tokens.cached);
        self.number(",\"output\":", tokens.output);
        self.count(",\"reasoning\":", tokens.reasoning);
        self.count(",\"audio_input\":", tokens.audio_input);
        self.count(",\"audio_output\":", tokens.audio_output);
        if tokens.estimated {
            self.truth(",\"estimated\":", true);
        }
        self.plain("}");
    }

    fn end(&mut self, end: End) {
        match end {
            End::Timeout(name) => self.shown(",\"end\":", format_args!("timeout:{name}")),
            End::Complete => self.text(",\"end\":", "complete"),
            End::ClientGone => self.text(",\"end\":", "client_gone"),
            End::ProviderCut => self.text(",\"end\":", "provider_cut"),
            End::ProviderFault => self.text(",\"end\":", "provider_fault"),
            End::Error => self.text(",\"end\":", "error"),
            End::Panic => self.text(",\"end\":", "panic"),
        }
    }
}
