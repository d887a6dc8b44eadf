// The stages of a session on its way to a picture, as a list to show. Pure.

const ORDER = [
  ["allocatedTime", "VM allocated"],
  ["imageReadyTime", "Image ready"],
  ["gameStartedTime", "Game started"],
  ["firstFrameTime", "First frame"],
];

/**
 * Server stages count from createTime by the control plane's clock; `pictureMs` (first frame decoded here, counted
 * from the moment the stream was asked for by this page) stays on its own clock: two machines' clocks are never mixed.
 * @returns {{label: string, reached: boolean, afterMs: number|null, current: boolean}[]}
 */
export function stagesOf(session, pictureMs = null) {
  const times = session?.stages ?? {};
  const start = Date.parse(session?.createTime ?? "");
  const steps = ORDER.map(([field, label]) => ({
    label,
    reached: Boolean(times[field]),
    afterMs: times[field] ? Math.max(0, Date.parse(times[field]) - start) : null,
  }));
  // A process runtime may skip a stage: what lies before a reached stage is behind us too.
  const last = steps.findLastIndex((step) => step.reached);
  steps.forEach((step, at) => (step.reached ||= at < last));
  if (session?.streamed !== false) steps.push({ label: "Picture here", reached: pictureMs !== null, afterMs: pictureMs, own: true });
  const next = steps.findIndex((step) => !step.reached);
  return [
    { label: "Asked", reached: Boolean(session), afterMs: session ? 0 : null, current: false },
    ...steps.map((step, at) => ({ ...step, current: at === next })),
  ];
}
