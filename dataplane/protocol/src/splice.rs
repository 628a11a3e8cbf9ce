//! Edits on a body's original bytes: members keep their order, everything else stays byte-identical.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

/// One edit: the bytes of `span` (empty for an insertion) give way to `with`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// The bytes of the original that go.
    pub span: Range<usize>,
    /// What stands in their place.
    pub with: Bytes,
}

impl Splice {
    /// Replaces the bytes of `span`.
    pub fn replace(span: Range<usize>, with: impl Into<Bytes>) -> Self {
        Self {
            span,
            with: with.into(),
        }
    }

    /// Inserts `with` before the byte at `at`.
    pub fn insert(at: usize, with: impl Into<Bytes>) -> Self {
        Self {
            span: at..at,
            with: with.into(),
        }
    }
}

/// A body in pieces, in order; most bodies have three pieces or fewer.
pub type Pieces = SmallVec<[Bytes; 8]>;

/// Applies edits to a body without copying it: the result is slices of the original and the new parts.
///
/// Edits may come in any order. Those that overlap an earlier one, or lie outside the body, are a
/// caller's mistake and are left out.
pub fn apply(body: &Bytes, edits: &[Splice]) -> Pieces {
    let mut order: SmallVec<[&Splice; 4]> = edits.iter().collect();
    order.sort_by_key(|edit| edit.span.start);
    let mut pieces = Pieces::new();
    let mut at = 0;
    for edit in order {
        if edit.span.start < at || edit.span.end > body.len() || edit.span.start > edit.span.end {
            debug_assert!(false, "overlapping or outlying splice");
            continue;
        }
        push(&mut pieces, body.slice(at..edit.span.start));
        push(&mut pieces, edit.with.clone());
        at = edit.span.end;
    }
    push(&mut pieces, body.slice(at..));
    pieces
}

fn push(pieces: &mut Pieces, piece: Bytes) {
    if !piece.is_empty() {
        pieces.push(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_slices_of_the_original() {
        let body = Bytes::from_static(b"0123456789");
        let edits = [Splice::replace(5..7, "xy"), Splice::insert(1, "!")];
        let pieces = apply(&body, &edits);
        assert_eq!(pieces.concat(), b"0!1234xy789");
        assert_eq!(pieces[2].as_ptr(), body[1..].as_ptr());
    }

    #[test]
    fn no_edit_is_the_body_itself() {
        let body = Bytes::from_static(b"{}");
        assert_eq!(apply(&body, &[]).as_slice(), [body]);
    }
}
