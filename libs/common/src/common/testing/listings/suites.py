"""All suites, for a test module of a service to import as they are: `from common.testing.listings.suites import *`.

A service whose own ways differ in one of them leaves that out, or has a class of the same name that overrides what differs.
"""

from common.testing.listings.backup import TestBackup, TestBrokenExport
from common.testing.listings.bad_input import TestBadAddresses, TestBadBodies, TestBadLines, TestTooLarge
from common.testing.listings.boundaries import TestBoundaries
from common.testing.listings.contention import TestContention
from common.testing.listings.contract import TestKept, TestOnce, TestRepository
from common.testing.listings.database import TestDatabase
from common.testing.listings.exporting import TestExport
from common.testing.listings.import_files import TestImportOfFiles
from common.testing.listings.importing import TestImport
from common.testing.listings.keys import TestIdempotencyKeys
from common.testing.listings.life import TestConditions, TestConflicts, TestLife, TestPatch
from common.testing.listings.metrics import TestMetrics
from common.testing.listings.owners import TestOwners
from common.testing.listings.paths import TestLists, TestPaths
from common.testing.listings.processes import TestAnnouncing, TestEventsTail
from common.testing.listings.swapping import TestSwapping
from common.testing.listings.unavailable import TestUnavailable
from common.testing.listings.use_cases import TestImports, TestUseCases

__all__ = [
    "TestAnnouncing",
    "TestBackup",
    "TestBadAddresses",
    "TestBadBodies",
    "TestBadLines",
    "TestBoundaries",
    "TestBrokenExport",
    "TestConditions",
    "TestConflicts",
    "TestContention",
    "TestDatabase",
    "TestEventsTail",
    "TestExport",
    "TestIdempotencyKeys",
    "TestImport",
    "TestImportOfFiles",
    "TestImports",
    "TestKept",
    "TestLife",
    "TestLists",
    "TestMetrics",
    "TestOnce",
    "TestOwners",
    "TestPatch",
    "TestPaths",
    "TestRepository",
    "TestSwapping",
    "TestTooLarge",
    "TestUnavailable",
    "TestUseCases",
]
