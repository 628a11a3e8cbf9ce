//! What must change of a chat request that passes to a server that is not OpenAI's own: the role
//! `developer` and `max_completion_tokens`, which most have no word for.
//!
//! Only of bodies that are held as a whole. One that is so large that it passes in pieces goes as it
//! came; a server that minds refuses it and says so.

use crate::json::{self, Object};
use crate::splice::Splice;
use crate::vendor::Quirks;

/// The edits that a body needs. What cannot be read needs none: the server will say what is wrong.
pub(crate) fn edits(body: &[u8], quirks: &Quirks) -> Vec<Splice> {
    let mut edits = Vec::new();
    let has = |name: &[u8]| memchr::memmem::find(body, name).is_some();
    if !quirks.developer_role && has(b"\"developer\"") {
        edits.extend(roles(body));
    }
    if !quirks.max_completion_tokens && has(b"\"max_completion_tokens\"") {
        edits.extend(limit(body));
    }
    edits
}

fn roles(body: &[u8]) -> Vec<Splice> {
    let request = Object::parse(body).unwrap_or_default();
    let messages = request.array("messages").unwrap_or_default();
    let roles = messages.into_iter().filter_map(|message| {
        let role = json::object(message)?.raw("role")?;
        (json::string(role)? == "developer").then_some(role)
    });
    roles
        .map(|role| Splice::replace(place(body, role.get().as_bytes()), &b"\"system\""[..]))
        .collect()
}

/// The member keeps its value and its place under the older name, unless that is there as well.
fn limit(body: &[u8]) -> Option<Splice> {
    const NAME: &[u8] = b"\"max_completion_tokens\"";
    let request = Object::parse(body).ok()?;
    if request.raw("max_tokens").is_some() {
        return None;
    }
    let value = place(body, request.raw("max_completion_tokens")?.get().as_bytes());
    let name = memchr::memmem::rfind(&body[..value.start], NAME)?;
    Some(Splice::replace(
        name..name + NAME.len(),
        &b"\"max_tokens\""[..],
    ))
}

/// Where a part of the body stands in it.
fn place(body: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::splice;

    fn repaired(body: &'static str, quirks: Quirks) -> String {
        let body = Bytes::from_static(body.as_bytes());
        let edits = edits(&body, &quirks);
        String::from_utf8(splice::apply(&body, &edits).concat()).unwrap()
    }

    #[test]
    fn roles_and_limits_are_said_in_the_older_words() {
        let body = r#"{"messages":[{"role" : "developer","content":"\"role\":\"developer\""},{"content":"developer","role":"user"}], "max_completion_tokens": 5}"#;
        assert_eq!(
            repaired(body, Quirks::COMPATIBLE),
            r#"{"messages":[{"role" : "system","content":"\"role\":\"developer\""},{"content":"developer","role":"user"}], "max_tokens": 5}"#
        );
        assert_eq!(repaired(body, Quirks::OPENAI), body);
    }

    #[test]
    fn what_is_fine_or_cannot_be_read_stays() {
        for body in [
            r#"{"max_tokens":1,"max_completion_tokens":2}"#,
            r#"{"messages":"developer","x":"developer"}"#,
            r#"{"messages":[{"role":"developer"}"#,
            r#"{"messages":[{"role":["developer"]}]}"#,
        ] {
            assert_eq!(repaired(body, Quirks::COMPATIBLE), body);
        }
    }
}
