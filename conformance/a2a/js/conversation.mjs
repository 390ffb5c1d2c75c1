// The scenario of conformance/a2a, with the official client for JavaScript: `node conversation.mjs SCENARIO-AS-JSON`.
//
// Prints one JSON line per check and ends with 1 when one failed. What is checked, and under which name, is the same in
// every client; `tests/it/checks.rs` holds the list and says where a client cannot ask for something.

import { Role, TaskState } from '@a2a-js/sdk';
import {
  AgentCardResolver,
  ClientFactory,
  ClientFactoryOptions,
  JsonRpcTransportFactory,
  RestTransportFactory,
} from '@a2a-js/sdk/client';
import * as errors from '@a2a-js/sdk/errors';
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';

const scenario = JSON.parse(process.argv[2]);
const MAX_EVENTS = 200;
const CHECK_WITHIN_MS = 60_000;
let failures = 0;

function report(line) {
  process.stdout.write(JSON.stringify(line) + '\n');
}

async function check(name, body) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end after ${CHECK_WITHIN_MS} ms`)), CHECK_WITHIN_MS);
  });
  try {
    const seen = await Promise.race([body(), late]);
    report({ check: name, ok: true, seen });
  } catch (error) {
    failures += 1;
    report({ check: name, ok: false, why: `${error?.name}: ${error?.message}`, stack: error?.stack });
  } finally {
    clearTimeout(timer);
  }
}

function same(what, got, expected) {
  if (isDeepStrictEqual(got, expected)) return;
  throw new Error(`${what} is ${JSON.stringify(got)}, not ${JSON.stringify(expected)}`);
}

function holds(what, condition) {
  if (!condition) throw new Error(`${what} does not hold`);
}

/** Expects an error of the client's own class for it. */
async function refused(kind, ask) {
  try {
    await ask();
  } catch (error) {
    if (error instanceof errors[kind]) return kind;
    throw new Error(`expected ${kind}, got ${error?.name}: ${error?.message}`, { cause: error });
  }
  throw new Error(`expected ${kind}, and it was accepted`);
}

const text = (value) => ({
  content: { $case: 'text', value },
  metadata: undefined,
  filename: '',
  mediaType: '',
});

function message(parts, { taskId = '', contextId = '', messageId = randomUUID() } = {}) {
  return {
    messageId,
    contextId,
    taskId,
    role: Role.ROLE_USER,
    parts: typeof parts === 'string' ? [text(parts)] : parts,
    metadata: { service: scenario.service },
    extensions: [],
    referenceTaskIds: [],
  };
}

const request = (parts, to, configuration) => ({ tenant: '', message: message(parts, to), configuration, metadata: undefined });

const stateOf = (task) => TaskState[task.status?.state]?.replace('TASK_STATE_', '') ?? 'none';
const texts = (parts) => (parts ?? []).filter((part) => part.content?.$case === 'text').map((part) => part.content.value);

/** An event in one word, the same in every client. */
function word(event) {
  const { $case, value } = event.payload;
  if ($case === 'task') return `task ${stateOf(value)}`;
  if ($case === 'statusUpdate') return `status ${stateOf(value)}${value.status.message ? ' with message' : ''}`;
  if ($case === 'artifactUpdate') return `artifact${value.append ? ' appended' : ''}`;
  return $case;
}

async function collect(stream, until = () => false) {
  const events = [];
  for await (const event of stream) {
    events.push(event);
    if (until(event)) break;
    if (events.length > MAX_EVENTS) throw new Error('the stream does not end');
  }
  return events;
}

function oneTask(events) {
  const ids = events.map(({ payload: { $case, value } }) =>
    $case === 'task' ? [value.id, value.contextId] : [value.taskId, value.contextId],
  );
  ids.forEach((id) => same('the ids of an event', id, ids[0]));
  return { taskId: ids[0][0], contextId: ids[0][1] };
}

const transports = {
  JSONRPC: new JsonRpcTransportFactory(),
  'HTTP+JSON': new RestTransportFactory(),
};
const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
  preferredTransports: [scenario.transport],
});
const parameters = scenario.key ? { serviceParameters: { Authorization: `Bearer ${scenario.key}` } } : undefined;

const card = await AgentCardResolver.default.resolve(scenario.base);
const client = await new ClientFactory(options).createFromAgentCard(card);
// Below the client, where it would refuse by itself what the server is to refuse.
const wire = await transports[scenario.transport].create(
  card.supportedInterfaces.find((one) => one.protocolBinding === scenario.transport).url,
  card,
);
const under = (version) => ({ serviceParameters: { ...parameters?.serviceParameters, 'A2A-Version': version } });

const send = (parts, to, configuration) => client.sendMessage(request(parts, to, configuration), parameters);
const stream = (parts, to) => client.sendMessageStream(request(parts, to), parameters);
const get = (id, historyLength) => client.getTask({ tenant: '', id, historyLength }, parameters);
const cancel = (id) => client.cancelTask({ tenant: '', id, metadata: undefined }, parameters);
const subscribe = (id) => client.resubscribeTask({ tenant: '', id }, parameters);
const list = (filter) =>
  client.listTasks(
    {
      tenant: '',
      contextId: '',
      status: TaskState.TASK_STATE_UNSPECIFIED,
      pageSize: undefined,
      pageToken: '',
      historyLength: undefined,
      statusTimestampAfter: undefined,
      includeArtifacts: undefined,
      ...filter,
    },
    parameters,
  );

await check('card', async () => {
  same('the name', card.name, scenario.name);
  holds('streaming', card.capabilities.streaming === true);
  holds('no push', card.capabilities.pushNotifications === false);
  holds('skills', card.skills.length > 0 && card.skills.every((skill) => skill.id && skill.name && skill.description));
  same('the interfaces', card.supportedInterfaces.map((one) => one.protocolBinding).sort(), ['HTTP+JSON', 'JSONRPC']);
  holds('version 1.0', card.supportedInterfaces.every((one) => one.protocolVersion === '1.0' && !one.tenant));
  same('the transport', client.transport.protocolName, scenario.transport);
});

// A conversation by unary calls: asked, answered, asked again, answered, done.
let asked;
await check('send: input required', async () => {
  asked = await send(scenario.start);
  same('the state', stateOf(asked), 'INPUT_REQUIRED');
  holds('ids', asked.id && asked.contextId);
  holds('a question', texts(asked.status.message.parts).join('').length > 0);
  same('who asks', asked.status.message.role, Role.ROLE_AGENT);
  same('what was said', texts(asked.history[0].parts), [scenario.start]);
  holds('a timestamp', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(asked.status.timestamp));
});

let ended;
await check('send: answered', async () => {
  let task = asked;
  for (const [index, answer] of scenario.answers.entries()) {
    same(`the state before answer ${index}`, stateOf(task), 'INPUT_REQUIRED');
    task = await send(answer, { taskId: task.id, contextId: task.contextId });
    same('the task', task.id, asked.id);
  }
  ended = task;
  same('the state', stateOf(ended), 'COMPLETED');
  holds('an artifact', ended.artifacts.length > 0 && ended.artifacts[0].artifactId && ended.artifacts[0].parts.length > 0);
  const users = ended.history.filter((one) => one.role === Role.ROLE_USER).flatMap((one) => texts(one.parts));
  same('what the user said', users, [scenario.start, ...scenario.answers]);
});

await check('send: the task alone names the context', async () => {
  const first = await send(scenario.start);
  const task = await send(scenario.answers[0], { taskId: first.id });
  same('ids', [task.id, task.contextId], [first.id, first.contextId]);
});

await check('send: a message sent twice counts once', async () => {
  const messageId = randomUUID();
  const first = await send(scenario.start, { messageId });
  const again = await send(scenario.start, { messageId });
  same('ids', [again.id, again.contextId], [first.id, first.contextId]);
  const answer = { taskId: first.id, contextId: first.contextId, messageId: randomUUID() };
  await send(scenario.answers[0], answer);
  await send(scenario.answers[0], answer);
  const task = await get(first.id);
  const counted = task.history.filter((one) => one.messageId === answer.messageId).length;
  same('how often the answer is in the history', counted, 1);
});

await check('send: at once', async () => {
  const task = await send(scenario.start, {}, { returnImmediately: true, acceptedOutputModes: [] });
  holds('a state', ['SUBMITTED', 'WORKING', 'INPUT_REQUIRED'].includes(stateOf(task)));
  const events = await collect(subscribe(task.id), (event) => word(event).startsWith('task INPUT') || word(event).startsWith('status INPUT'));
  same('the task', oneTask(events).taskId, task.id);
  same('the first event', events[0].payload.$case, 'task');
});

await check('send: what was said survives', async () => {
  const data = { nested: { list: [1, 'two', null, true, 2.5] }, big: 9007199254740991, sign: 'a\u2028b\u0085c\u2029d' };
  const parts = [
    text(`${scenario.start}\u2028\u0085 \u{1f30d} "quoted" \\ \n next`),
    { content: { $case: 'data', value: data }, metadata: { note: 'ü' }, filename: '', mediaType: 'application/json' },
  ];
  const events = await collect(stream(parts));
  const task = await get(oneTask(events).taskId);
  for (const said of [events[0].payload.value.history[0], task.history[0]]) {
    same('the text', texts(said.parts), [parts[0].content.value]);
    same('the data', said.parts[1].content, { $case: 'data', value: data });
    same('the metadata', said.parts[1].metadata, { note: 'ü' });
  }
});

await check('send: a context goes on', async () => {
  const task = await send(scenario.start, { contextId: ended.contextId });
  same('the context', task.contextId, ended.contextId);
  holds('another task', task.id !== ended.id);
});

// The same by streams.
let streamed;
await check('stream: input required', async () => {
  const events = await collect(stream(scenario.start));
  streamed = oneTask(events);
  const words = events.map(word);
  holds('a snapshot first', words[0].startsWith('task '));
  holds('work', words.some((one) => one.startsWith('status WORKING')));
  same('the last event', words.at(-1), 'status INPUT_REQUIRED with message');
  return words;
});

await check('stream: answered', async () => {
  const seen = [];
  for (const answer of scenario.answers) {
    const events = await collect(stream(answer, streamed));
    same('ids', oneTask(events), streamed);
    holds('a snapshot first', events[0].payload.$case === 'task');
    seen.push(events.map(word));
  }
  const last = seen.at(-1);
  holds('an artifact', last.some((one) => one.startsWith('artifact')));
  holds('progress', seen.flat().includes('status WORKING with message'));
  holds('completed', last.at(-1).startsWith('status COMPLETED'));
  return seen;
});

await check('get', async () => {
  const task = await get(ended.id);
  same('the task', [task.id, task.contextId, stateOf(task)], [ended.id, ended.contextId, 'COMPLETED']);
  same('the artifacts', task.artifacts, ended.artifacts);
  same('the status', task.status, ended.status);
});

await check('get: history', async () => {
  const whole = (await get(ended.id)).history;
  holds('more than one message', whole.length > 1);
  same('none', (await get(ended.id, 0)).history, []);
  same('the latest', (await get(ended.id, 1)).history, whole.slice(-1));
  same('more than there is', (await get(ended.id, 1000)).history, whole);
});

const context = randomUUID();
const listed = [];
let order = [];
const sorted = (ids) => ids.toSorted();
await check('list: context', async () => {
  for (let index = 0; index < 3; index += 1) listed.push((await send(scenario.start, { contextId: context })).id);
  const page = await list({ contextId: context });
  // Two that changed in the same millisecond may come either way round.
  order = page.tasks.map((task) => task.id);
  same('the tasks', sorted(order), sorted(listed));
  const times = page.tasks.map((task) => Date.parse(task.status.timestamp));
  holds('latest first', times.every((time, index) => index === 0 || times[index - 1] >= time));
  same('the rest', [page.nextPageToken, page.totalSize], ['', 3]);
  holds('a page size', page.pageSize > 0);
  same('no context', (await list({ contextId: randomUUID() })).tasks, []);
});

await check('list: pages', async () => {
  const first = await list({ contextId: context, pageSize: 2 });
  same('the sizes', [first.tasks.length, first.pageSize, first.totalSize], [2, 2, 3]);
  holds('a token', first.nextPageToken !== '');
  const second = await list({ contextId: context, pageSize: 2, pageToken: first.nextPageToken });
  same('the end', [second.tasks.length, second.nextPageToken], [1, '']);
  same('each once', [...first.tasks, ...second.tasks].map((task) => task.id), order);
});

await check('list: filters', async () => {
  const ids = async (filter) => (await list({ contextId: context, ...filter })).tasks.map((task) => task.id);
  await cancel(listed[0]);
  same('canceled', await ids({ status: TaskState.TASK_STATE_CANCELED }), [listed[0]]);
  same('open', sorted(await ids({ status: TaskState.TASK_STATE_INPUT_REQUIRED })), sorted(listed.slice(1)));
  same('in the future', await ids({ statusTimestampAfter: new Date(Date.now() + 3_600_000).toISOString() }), []);
  const { timestamp } = (await get(listed[0])).status;
  same('since the latest change', await ids({ statusTimestampAfter: timestamp }), [listed[0]]);
});

await check('list: what is shown', async () => {
  const of = async (filter) => (await list({ contextId: ended.contextId, ...filter })).tasks.find((task) => task.id === ended.id);
  same('no artifacts', (await of({})).artifacts, []);
  same('artifacts', (await of({ includeArtifacts: true })).artifacts, ended.artifacts);
  same('no history', (await of({ historyLength: 0 })).history, []);
  same('one message', (await of({ historyLength: 1 })).history.length, 1);
});

await check('cancel', async () => {
  same('the state', stateOf(await cancel(listed[1])), 'CANCELED');
  same('the state later', stateOf(await get(listed[1])), 'CANCELED');
});

// A stream that is sent in one piece at its end cannot be answered while it is open.
if (scenario.live) await check('subscribe: until the end', async () => {
  const task = await send(scenario.start);
  const to = { taskId: task.id, contextId: task.contextId };
  const seen = [];
  for (const answer of scenario.answers) {
    const events = subscribe(task.id);
    const first = await events.next();
    same('the snapshot', word(first.value), 'task INPUT_REQUIRED');
    const answered = send(answer, to);
    const rest = await collect(events);
    await answered;
    same('ids', oneTask(rest), to);
    seen.push([word(first.value), ...rest.map(word)]);
  }
  holds('completed', seen.at(-1).at(-1).startsWith('status COMPLETED'));
  return seen;
});

await check('subscribe: after a cut', async () => {
  // The connection is closed after the first event, wherever the task is then.
  const cut = await collect(stream(scenario.start), () => true);
  const to = oneTask(cut);
  let events = await collect(subscribe(to.taskId), (event) => / INPUT_REQUIRED/.test(word(event)));
  same('the snapshot', [events[0].payload.$case, oneTask(events)], ['task', to]);
  for (const answer of scenario.answers) {
    await collect(stream(answer, to), () => true);
    const ended = ({ payload: { value } }) => ['INPUT_REQUIRED', 'COMPLETED'].includes(stateOf(value));
    try {
      events = await collect(subscribe(to.taskId), ended);
      same('ids', oneTask(events), to);
    } catch (error) {
      // It may have ended before: then there is nothing to subscribe to.
      holds('unsupported only once it has ended', error instanceof errors.UnsupportedOperationError);
      same('the state', stateOf(await get(to.taskId)), 'COMPLETED');
    }
  }
  const task = await get(to.taskId);
  same('the state', stateOf(task), 'COMPLETED');
  const users = task.history.filter((one) => one.role === Role.ROLE_USER).flatMap((one) => texts(one.parts));
  same('what the user said', users, [scenario.start, ...scenario.answers]);
});

await check('extended card', async () => {
  if (!scenario.extended) {
    await refused('UnsupportedOperationError', () => wire.getExtendedAgentCard({ tenant: '' }, under('1.0')));
    return 'refused';
  }
  const extended = await client.getAgentCard(parameters);
  same('the name', extended.name, card.name);
  holds('more skills', extended.skills.length > card.skills.length);
  return 'shown';
});

// Every error of the table that a client can bring about.
const nobody = randomUUID();
await check('error: task not found', async () => [
  await refused('TaskNotFoundError', () => get(nobody)),
  await refused('TaskNotFoundError', () => cancel(nobody)),
  await refused('TaskNotFoundError', () => collect(subscribe(nobody))),
  await refused('TaskNotFoundError', () => send('hello', { taskId: nobody })),
  await refused('TaskNotFoundError', () => collect(stream('hello', { taskId: nobody }))),
]);

await check('error: task not cancelable', async () => [
  await refused('TaskNotCancelableError', () => cancel(ended.id)),
  await refused('TaskNotCancelableError', () => cancel(listed[1])),
]);

const push = { tenant: '', taskId: ended?.id, id: 'one', url: 'https://example.invalid/', token: '', authentication: undefined };
await check('error: push not supported', async () => [
  await refused('PushNotificationNotSupportedError', () => wire.createTaskPushNotificationConfig(push, under('1.0'))),
  await refused('PushNotificationNotSupportedError', () => wire.getTaskPushNotificationConfig(push, under('1.0'))),
  await refused('PushNotificationNotSupportedError', () =>
    wire.listTaskPushNotificationConfig({ tenant: '', taskId: ended.id, pageSize: 0, pageToken: '' }, under('1.0')),
  ),
  await refused('PushNotificationNotSupportedError', () =>
    client.deleteTaskPushNotificationConfig({ tenant: '', taskId: ended.id, id: 'one' }, parameters),
  ),
]);

await check('error: unsupported operation', async () => [
  await refused('UnsupportedOperationError', () => send('more', { taskId: ended.id, contextId: ended.contextId })),
  await refused('UnsupportedOperationError', () => collect(stream('more', { taskId: ended.id }))),
  await refused('UnsupportedOperationError', () => collect(subscribe(ended.id))),
]);

await check('error: content type not supported', async () => {
  const picture = { content: { $case: 'raw', value: Buffer.from([1, 2, 3]) }, metadata: undefined, filename: 'x.png', mediaType: scenario.refused };
  return [
    await refused('ContentTypeNotSupportedError', () => send([text(scenario.start), picture])),
    await refused('ContentTypeNotSupportedError', () => collect(stream([picture]))),
  ];
});

await check('error: version not supported', async () => {
  const seen = [];
  for (const version of ['0.3', '2.0', '']) {
    seen.push(await refused('VersionNotSupportedError', () => wire.getTask({ tenant: '', id: ended.id }, under(version))));
  }
  seen.push(await refused('VersionNotSupportedError', () => collect(wire.sendMessageStream(request(scenario.start), under('0.3')))));
  return seen;
});

await check('error: invalid parameters', async () => [
  await refused('RequestMalformedError', () => send([])),
  await refused('RequestMalformedError', () => send(scenario.start, { messageId: '' })),
  await refused('RequestMalformedError', () => send('x', { taskId: asked.id, contextId: randomUUID() })),
  await refused('RequestMalformedError', () => list({ pageSize: 101 })),
  await refused('RequestMalformedError', () => list({ pageToken: 'not a token' })),
  await refused('RequestMalformedError', () => get(ended.id, -1)),
]);

await check('error: method not found', async () => {
  if (scenario.transport !== 'JSONRPC') return 'not a method';
  try {
    await wire.callExtensionMethod('NoSuchMethod', {}, under('1.0'));
  } catch (error) {
    same('the code', error.envelopeCode, errors.A2A_ERROR_CODE.METHOD_NOT_FOUND);
    return 'refused';
  }
  throw new Error('it was accepted');
});

report({ check: 'done', ok: failures === 0 });
// A stream of a check that failed may be open still. What was printed is written first: a pipe is written to at once.
process.exit(failures === 0 ? 0 : 1);
