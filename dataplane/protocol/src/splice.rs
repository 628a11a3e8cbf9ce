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
/// Edits may come in any order. Those that overlap an earlier one are a caller's mistake and are left out.
pub fn apply(body: &Bytes, edits: &[Splice]) -> Pieces {
    let mut pieces = Pieces::new();
    Passage::default().pass(body.clone(), edits, &mut pieces);
    pieces
}

/// A body that passes piece by piece, in order, and is edited as it does.
#[derive(Debug, Default)]
pub struct Passage {
    /// Bytes of the original that have passed.
    passed: usize,
    /// The end of the last span that was replaced.
    replaced: usize,
}

impl Passage {
    /// How many bytes of the original have passed.
    pub fn passed(&self) -> usize {
        self.passed
    }

    /// Edits the next piece: by those edits whose span begins within it.
    pub fn pass(&mut self, piece: Bytes, edits: &[Splice], out: &mut Pieces) {
        let start = self.passed;
        let end = start + piece.len();
        let mut order: SmallVec<[&Splice; 4]> = edits
            .iter()
            .filter(|edit| (start..end).contains(&edit.span.start))
            .collect();
        order.sort_by_key(|edit| edit.span.start);
        let mut at = self.replaced.max(start);
        for edit in order {
            if edit.span.start < at || edit.span.start > edit.span.end {
                debug_assert!(false, "overlapping splice");
                continue;
            }
            push(out, piece.slice(at - start..edit.span.start - start));
            push(out, edit.with.clone());
            at = edit.span.end;
        }
        if at < end {
            push(out, piece.slice(at - start..));
        }
        self.replaced = at;
        self.passed = end;
    }
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
    fn a_body_that_passes_in_pieces_is_edited_alike() {
        let body = Bytes::from_static(b"0123456789");
        let edits = [Splice::replace(2..7, "xy"), Splice::insert(9, "!")];
        let whole = apply(&body, &edits).concat();
        for first in 0..=body.len() {
            for second in first..=body.len() {
                let mut passage = Passage::default();
                let mut pieces = Pieces::new();
                for range in [0..first, first..second, second..body.len()] {
                    passage.pass(body.slice(range), &edits, &mut pieces);
                }
                assert_eq!(pieces.concat(), whole, "{first} {second}");
            }
        }
    }

    #[test]
    fn no_edit_is_the_body_itself() {
        let body = Bytes::from_static(b"{}");
        assert_eq!(apply(&body, &[]).as_slice(), [body]);
    }
}
