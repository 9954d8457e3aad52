/**
 * Loaded before each test file: what a test has left open keeps its file from ending for a moment only. Node's
 * `--test-force-exit` ends it before the results of its last tests have been told.
 */
import { after } from "node:test";

const graceMs = 2000;

const isTestFile = process.env["NODE_TEST_CONTEXT"] !== undefined; // and not the runner
if (isTestFile) after(() => void setTimeout(() => process.exit(), graceMs).unref());
