/** Plays its part of the stories on a CPU of its own. */

import { playPart } from "./stories.ts";

self.onmessage = ({ data }) => self.postMessage(playPart(data));
