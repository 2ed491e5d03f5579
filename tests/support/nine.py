"""A small library's shelf, written in each language that has a grammar; code for tests to cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["MODULES"]

_PYTHON: Final = '''\
"""Loans of a library."""

from __future__ import annotations

import os.path
import json as js, re
from collections.abc import (
    Iterable,
    Mapping as Map,  # read only
)
from .shelves import *
from .. import rooms

LIMIT: int = 5
_CACHE = {
    "a": 1,
}


# One who borrows.
@dataclass(frozen=True)
class Reader(Person):
    """Somebody with a card."""

    name: str = ""
    tries = 3

    @property
    def label(self) -> str:
        # short
        return f"{self.name[:10]}: {len(self.loans)}"

    async def borrow(
        self,
        book: Book,
    ) -> bool:
        def allowed(count: int) -> bool:
            return count < LIMIT

        if not allowed(len(self.loans)):
            return False
        self.loans.append(book)
        return True


def overdue(loans: Iterable[Loan]) -> list[Loan]: return [loan for loan in loans if loan.late]


if __name__ == "__main__":
    print(overdue([]))
'''

_JAVA: Final = """\
package org.example.library;

import java.util.List;
import java.util.concurrent.*;
import static org.example.Dates.today;

/**
 * One who borrows.
 */
@Entity
public class Reader extends Person {
    private static final int LIMIT = 5;
    private final List<Loan> loans = new ArrayList<>();

    public Reader(String name) {
        super(name);
    }

    // Adds a loan.
    @Override
    public boolean borrow(Book book) throws ShelfException {
        if (loans.size() >= LIMIT) {
            return false;
        }
        return loans.add(new Loan(book, today()));
    }

    interface Listener {
        void borrowed(Book book);
    }

    enum State { ACTIVE, BARRED }
}

record Loan(Book book, LocalDate since) {
    boolean late() {
        return since.plusDays(30).isBefore(today());
    }
}
"""

_JAVASCRIPT: Final = """\
import fs, { readFile as read } from "node:fs/promises";
import * as dates from './dates.js';
import "./setup";
const { join, sep: separator } = require("path");
export { Book } from "./book";
export * from "./shelf";

const LIMIT = 5;

/** One who borrows. */
export class Reader extends Person {
  #loans = [];

  constructor(name) {
    super(name);
  }

  async borrow(book) {
    if (this.#loans.length >= LIMIT) {
      return false;
    }
    this.#loans.push({ book, since: dates.today() });
    return true;
  }
}

export const overdue = (loans) => {
  return loans.filter((loan) => loan.late);
};

function* shelves(room) {
  yield* room.shelves;
}

module.exports.close = function (room) {
  room.open = false;
};
"""

_TYPESCRIPT: Final = """\
import type { Book } from "./book";
import { Injectable, type Room } from "@library/core";

export interface Loan {
  book: Book;
  since: Date;
}

type Loans = Map<string, Loan[]>;

export enum State {
  Active,
  Barred,
}

@Injectable()
export class Reader<T extends Loan> extends Person {
  private readonly loans: T[] = [];

  constructor(private name: string) {
    super();
  }

  borrow(book: Book, days = 30): boolean {
    if (this.loans.length > 5) {
      return false;
    }
    this.loans.push({ book, since: new Date() } as T);
    return true;
  }

  late = (loan: T): boolean => {
    return loan.since < today();
  };
}

export const overdue = async (loans: Loan[]): Promise<Loan[]> => {
  return loans.filter((loan) => isLate(loan));
};

abstract class Shelf {
  abstract open(): void;
}
"""

_GO: Final = """\
package library

import (
	"fmt"
	log "example.org/library/logging"
)

const Limit = 5

const (
	active = iota
	barred
)

// Reader is one who borrows.
type Reader struct {
	Name  string
	loans []Loan
}

type Lender interface {
	Borrow(book Book) error
}

type (
	Days int
)

// Borrow adds a loan.
func (r *Reader) Borrow(book Book) error {
	if len(r.loans) >= Limit {
		return fmt.Errorf("%s has too many loans", r.Name)
	}
	r.loans = append(r.loans, Loan{book: book})
	return nil
}

func overdue(loans []Loan) (late []Loan) {
	for _, loan := range loans {
		if loan.Late() {
			late = append(late, loan)
		}
	}
	return late
}
"""

_C: Final = """\
#include <stdio.h>
#include "library/shelf.h"

#define LIMIT 5
#define LATE(loan) ((loan)->days > 30)

typedef unsigned long card_t;

/* A book that is away. */
struct loan {
    int days;
    struct loan *next;
};

typedef struct {
    char *name;
} reader_t;

enum state { ACTIVE, BARRED };

static const char *names[] = { "active", "barred" };

int reader_borrow(reader_t *reader, struct loan *loan);

// Counts what is late.
static unsigned *
overdue(const struct loan *loans)
{
    static unsigned count = 0;
    for (; loans; loans = loans->next) {
        if (LATE(loans)) {
            count++;
        }
    }
    return &count;
}
"""

_CPP: Final = """\
#pragma once
#include <vector>
#include "book.hpp"

namespace library {

constexpr int limit = 5;

using Loans = std::vector<Loan>;

/// One who borrows.
class Reader : public Person {
public:
    explicit Reader(std::string name) : name_(std::move(name)) {}
    ~Reader() = default;

    bool borrow(const Book& book);
    bool operator==(const Reader& other) const { return name_ == other.name_; }

private:
    std::string name_;
    Loans loans_;
};

template <typename T>
T largest(const std::vector<T>& all) {
    T best = all.front();
    for (const auto& one : all) {
        if (best < one) best = one;
    }
    return best;
}

bool Reader::borrow(const Book& book) {
    if (loans_.size() >= limit) {
        return false;
    }
    loans_.emplace_back(book);
    return true;
}

}  // namespace library
"""

_RUST: Final = """\
use std::collections::{hash_map::{self, Entry}, HashMap as Map};
use crate::book::Book;
use super::*;

mod shelf;

const LIMIT: usize = 5;

/// One who borrows.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    pub name: &'a str,
    loans: Vec<Loan>,
}

enum State {
    Active,
    Barred { since: u32 },
}

pub trait Lender {
    fn borrow(&mut self, book: Book) -> bool;
}

impl<'a> Lender for Reader<'a> {
    // Adds a loan.
    fn borrow(&mut self, book: Book) -> bool {
        if self.loans.len() >= LIMIT {
            return false;
        }
        self.loans.push(Loan { book, days: 0 });
        true
    }
}

fn overdue(loans: &[Loan]) -> Vec<&Loan> {
    let late = |loan: &&Loan| loan.days > '\\x1e' as u32;
    loans.iter().filter(late).collect()
}

macro_rules! loans {
    ($($book:expr),*) => { vec![$(Loan::new($book)),*] };
}
"""

MODULES: Final[Mapping[str, str]] = {
    "python": _PYTHON,
    "java": _JAVA,
    "javascript": _JAVASCRIPT,
    "javascriptreact": _JAVASCRIPT,
    "typescript": _TYPESCRIPT,
    "typescriptreact": _TYPESCRIPT,
    "go": _GO,
    "c": _C,
    "cpp": _CPP,
    "rust": _RUST,
}
"""Language identifier to a module that has no errors."""
