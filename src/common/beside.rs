//! Digests that are computed on a thread of their own, beside whatever moves the bytes. In: pieces in order, and where one
//! digest ends and the next begins. Out: the digests. Called by downloads and by the writer of checkpoints.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256 as Hasher};

use crate::hash::Sha256;

/// Small pieces are gathered up to this.
const BATCH_LEN: usize = 512 << 10;
/// Batches that may wait to be hashed: a few megabytes.
const MAX_WAITING: usize = 4;

/// Bytes, and the places in them where a digest ends.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// The thread, and the ways to it and back.
#[derive(Debug)]
pub struct DigestBeside {
    batches: SyncSender<Batch>,
    /// Batches that have been hashed and can be filled again.
    spent: Receiver<Batch>,
    current: Batch,
    thread: JoinHandle<Vec<Sha256>>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

impl Default for DigestBeside {
    fn default() -> Self {
        let (batches, waiting) = sync_channel::<Batch>(MAX_WAITING);
        let (back, spent) = sync_channel(MAX_WAITING);
        let thread = std::thread::spawn(move || {
            let (mut hasher, mut digests) = (Hasher::new(), Vec::new());
            for mut batch in waiting {
                let mut from = 0;
                for end in batch.ends.drain(..) {
                    hasher.update(batch.bytes.get(from..end).unwrap_or_default());
                    digests.push(Sha256::from_hasher(std::mem::take(&mut hasher)));
                    from = end;
                }
                hasher.update(batch.bytes.get(from..).unwrap_or_default());
                batch.bytes.clear();
                // Nobody may want it back: then it is freed.
                let _ = back.try_send(batch);
            }
            digests.push(Sha256::from_hasher(hasher));
            digests
        });
        DigestBeside { batches, spent, current: Batch::default(), thread }
    }
}

impl DigestBeside {
    /// The next bytes.
    pub fn update(&mut self, piece: &[u8]) {
        self.current.bytes.extend_from_slice(piece);
        if self.current.bytes.len() >= BATCH_LEN {
            self.hand_over();
        }
    }

    /// Here a digest ends, and the next begins.
    pub fn end(&mut self) {
        self.current.ends.push(self.current.bytes.len());
    }

    fn hand_over(&mut self) {
        let next = self.spent.try_recv().unwrap_or_default();
        // The thread ends only when this side is dropped.
        let _ = self.batches.send(std::mem::replace(&mut self.current, next));
    }

    /// The digests that have ended, in order, and at last that of what came after them.
    pub fn finish(mut self) -> Vec<Sha256> {
        self.hand_over();
        drop(self.batches);
        self.thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p))
    }

    /// The digest of everything, where none was ended.
    pub fn whole(self) -> Sha256 {
        self.finish().pop().unwrap_or_else(|| Sha256::of(b""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_all_pieces_in_order() {
        let mut beside = DigestBeside::default();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| i as u8).collect();
        bytes.chunks(777).for_each(|piece| beside.update(piece));
        assert_eq!(beside.whole(), Sha256::of(&bytes));
        assert_eq!(DigestBeside::default().whole(), Sha256::of(b""));
    }

    #[test]
    fn digests_end_where_they_are_ended() {
        let mut beside = DigestBeside::default();
        let tensors: Vec<Vec<u8>> =
            [0, 1, 100, 900_000, 0, 5, 2_000_000].iter().map(|&n| vec![n as u8; n]).collect();
        for tensor in &tensors {
            tensor.chunks(10_007).for_each(|piece| beside.update(piece));
            beside.end();
        }
        let mut expected: Vec<_> = tensors.iter().map(|t| Sha256::of(t)).collect();
        expected.push(Sha256::of(b""));
        assert_eq!(beside.finish(), expected);
    }
}
