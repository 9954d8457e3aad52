#!/usr/bin/env node
/** The `mailroute` command: reads arguments and environment, runs one command, exits. Nothing else does. */
import { runCommand } from "./command.ts";

process.exitCode = await runCommand(process.argv.slice(2));
