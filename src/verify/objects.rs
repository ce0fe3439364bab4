//! Level *objects*: every reference against the object that it names, each segment opened once.

use std::collections::HashMap;

use anyhow::Result;

use super::ahead::{self, Opening, Read};
use super::collect::Check;
use super::contents::{Contents, Start};
use super::findings::Findings;
use super::segments::Segments;
use crate::format::known_checksums::KnownChecksums;
use crate::format::object_ref::ObjectId;
use crate::monitor::Counter;
use crate::sorter::Sorted;

/// Objects that cannot be used, as stretches of those that are needed of each segment.
#[derive(Default)]
pub(super) struct Damaged {
    stretches: HashMap<u32, Vec<(u32, u32)>>,
}

impl Damaged {
    pub(super) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    pub(super) fn has(&self, segment: u32, sequence: u32) -> bool {
        self.stretches.get(&segment).is_some_and(|stretches| {
            let behind = stretches.partition_point(|(first, _)| *first <= sequence);
            behind > 0 && stretches[behind - 1].1 >= sequence
        })
    }
}

/// What looking at the objects takes.
pub(super) struct Objects<'a, 's> {
    pub(super) segments: &'a Segments,
    pub(super) checks: Sorted<Check>,
    pub(super) contents: Option<Contents<'s>>,
    pub(super) findings: &'a mut Findings,
    pub(super) damaged: Damaged,
    /// Number of objects that were needed.
    pub(super) count: u64,
}

/// A segment that is being read.
struct Current {
    number: u32,
    /// The references to its objects, by object.
    checks: Vec<Check>,
    starts: Vec<Start>,
    state: HashMap<u32, State>,
}

/// What was found of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Wrong,
}

impl Objects<'_, '_> {
    /// Reads the segments with these numbers, which ascend, each to its end, and compares what is needed of them. The objects of
    /// all others were found good before.
    pub(super) fn read(
        &mut self,
        opening: Opening<'_>,
        numbers: &[u32],
        jobs: usize,
        monitor: &Counter<'_>,
    ) -> Result<()> {
        let ids: Vec<_> = numbers.iter().map(|n| self.segments.id(*n)).collect();
        let mut current: Option<Current> = None;
        ahead::read(opening, &ids, jobs, |place, read| {
            let mut segment = match current.take() {
                Some(segment) => segment,
                None => self.begin(numbers[place])?,
            };
            match read {
                Read::Objects(batch) => {
                    for (sequence, data) in batch.iter() {
                        self.object(&mut segment, sequence, data)?;
                    }
                    current = Some(segment);
                }
                Read::End(outcome) => {
                    self.end(&segment, outcome)?;
                    monitor.progress(place as u64 + 1, ids.len() as u64, "segments");
                }
            }
            Ok(())
        })?;
        self.pass(u32::MAX)
    }

    fn begin(&mut self, number: u32) -> Result<Current> {
        self.pass(number)?;
        let mut checks: Vec<Check> = Vec::new();
        while let Some(check) = self.checks.take_if(|check| check.segment == number)? {
            // Sorted, so that the same reference of another file or snapshot comes directly behind.
            if checks.last() != Some(&check) {
                checks.push(check);
            }
        }
        let starts = match &mut self.contents {
            Some(contents) => contents.starting_in(number)?,
            None => Vec::new(),
        };
        Ok(Current {
            number,
            checks,
            starts,
            state: HashMap::new(),
        })
    }

    /// Counts the objects of segments before this one, which need not be looked at.
    fn pass(&mut self, number: u32) -> Result<()> {
        let mut last = None;
        while let Some(check) = self.checks.take_if(|check| check.segment < number)? {
            let object = check.reference.object;
            if last.replace(object) != Some(object) {
                self.count += 1;
            }
        }
        Ok(())
    }

    fn object(&mut self, segment: &mut Current, sequence: u32, data: &[u8]) -> Result<()> {
        let checks = of_sequence(&segment.checks, sequence, |c| c.reference.object.sequence);
        // A second object of the same name counts for nothing.
        if checks.is_empty() || segment.state.contains_key(&sequence) {
            return Ok(());
        }
        let (mut state, mut known) = (State::Good, KnownChecksums::default());
        for check in checks {
            let reference = check.reference.reference();
            let compared = reference.range(data.len() as u64).and_then(|_| {
                let wanted = reference.checksum;
                wanted.map_or(Ok(()), |wanted| known.verify(&wanted, data))
            });
            if let Err(error) = compared {
                // What is wrong with a part of a log was told when the log was read.
                if state == State::Good && !check.of_log {
                    let text = format!("the object {error}");
                    self.findings
                        .object(segment.number, reference.object, &text)?;
                }
                state = State::Wrong;
            }
        }
        segment.state.insert(sequence, state);
        if let Some(contents) = &mut self.contents {
            let starts = of_sequence(&segment.starts, sequence, |start| start.sequence);
            contents.object(segment.number, sequence, data, starts)?;
        }
        Ok(())
    }

    fn end(&mut self, segment: &Current, outcome: Result<()>) -> Result<()> {
        let (mut needed, mut absent, mut wrong) = (0_u64, Vec::new(), 0_u64);
        let mut stretches: Vec<(u32, u32)> = Vec::new();
        let mut goes_on = false;
        for checks in segment
            .checks
            .chunk_by(|a, b| a.reference.object == b.reference.object)
        {
            let object = checks[0].reference.object;
            let sequence = object.sequence;
            needed += 1;
            match segment.state.get(&sequence) {
                Some(State::Good) => {
                    goes_on = false;
                    continue;
                }
                Some(State::Wrong) => wrong += 1,
                None => absent.push((object, checks.iter().all(|check| check.of_log))),
            }
            match stretches.last_mut().filter(|_| goes_on) {
                Some(last) => last.1 = sequence,
                None => stretches.push((sequence, sequence)),
            }
            goes_on = true;
        }
        self.count += needed;
        if outcome.is_ok() && (absent.len() as u64) < needed {
            self.tell_absent(segment.number, &absent)?;
        }
        if !stretches.is_empty() {
            self.damaged.stretches.insert(segment.number, stretches);
        }
        if outcome.is_err() || wrong > 0 || !absent.is_empty() {
            let damage = self.findings.segment(segment.number);
            damage.reading = outcome.err().map(|error| format!("{error:#}"));
            damage.absent = absent.len() as u64;
            damage.wrong = wrong;
        }
        self.findings.needed(segment.number, needed);
        if let Some(contents) = &mut self.contents {
            let damaged = &self.damaged;
            contents.end_segment(segment.number, |sequence| {
                damaged.has(segment.number, sequence)
            })?;
        }
        Ok(())
    }

    /// Tells the objects that are not in a segment which has others.
    fn tell_absent(&mut self, number: u32, absent: &[(ObjectId, bool)]) -> Result<()> {
        for (object, _) in absent.iter().filter(|(_, of_log)| !of_log) {
            let reason = "the object is missing from its segment";
            self.findings.object(number, *object, reason)?;
        }
        Ok(())
    }
}

/// Returns the items with a sequence number, of those sorted by it.
fn of_sequence<T>(items: &[T], sequence: u32, of: impl Fn(&T) -> u32) -> &[T] {
    let begin = items.partition_point(|item| of(item) < sequence);
    let count = items[begin..].partition_point(|item| of(item) == sequence);
    &items[begin..begin + count]
}
