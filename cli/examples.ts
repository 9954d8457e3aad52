/** Where the examples are that come with Mailroute. */
import { join } from "node:path";

export const examplesDirectory = join(import.meta.dirname, "../crds/examples");
