import type { FieldError, Input, SecretAnswers, Service } from '@/api/schema'

/** Answers by the name of their question. A date is a text, several choices are a list. */
export type Answers = Record<string, unknown>

/** What stands in the form when it opens: what was answered last, where it still fits, else the default. A secret is answered anew. */
export function opening(inputs: readonly Input[], last: Answers = {}): Answers {
  const answers: Answers = {}
  for (const input of inputs) {
    const kept = input.type === 'secret' ? undefined : last[input.name]
    const fits = kept !== undefined && wrong(input, kept) === undefined
    answers[input.name] = fits ? kept : (input.default ?? empty(input))
  }
  return answers
}

function empty(input: Input): unknown {
  if (input.type === 'multichoice') return []
  if (input.type === 'boolean') return input.required ? false : undefined
  return ''
}

/** What is sent: no answer is no key, so that the default counts. Secrets go another way. */
export function sent(inputs: readonly Input[], answers: Answers): Answers {
  const entries = inputs.filter((input) => input.type !== 'secret').map((input): [string, unknown] => [input.name, typed(input, answers[input.name])])
  return Object.fromEntries(entries.filter(([, answer]) => answer !== undefined))
}

/** The secrets that are sent, if there are any. */
export function secrets(inputs: readonly Input[], answers: Answers): { secretInputs?: SecretAnswers } {
  const entries = inputs.flatMap(({ type, name }): [string, string][] => {
    const answer = answers[name]
    return type === 'secret' && typeof answer === 'string' && answer !== '' ? [[name, answer]] : []
  })
  return entries.length === 0 ? {} : { secretInputs: { values: Object.fromEntries(entries) } }
}

/** What was typed as a secret is gone. */
export function forget(inputs: readonly Input[], answers: Answers): void {
  for (const { type, name } of inputs) if (type === 'secret') answers[name] = ''
}

/** What the server has against an answer: the field of the form, if it is one, and the sentence without its path. */
export function refused(inputs: readonly Input[], { field, message }: FieldError): { name: string; message: string } | undefined {
  const name = field.replace(/^(?:inputs|secretInputs\.values)\./, '')
  if (!inputs.some((input) => input.name === name)) return undefined
  return { name, message: message.startsWith(`${field}: `) ? message.slice(field.length + 2) : message }
}

function typed(input: Input, answer: unknown): unknown {
  if (answer === '' || answer === undefined || answer === null) return undefined
  if (Array.isArray(answer) && answer.length === 0 && !input.required) return undefined
  return input.type === 'number' ? Number(answer) : answer
}

/** What is wrong with an answer. */
export type Wrong = 'required' | 'number' | 'small' | 'large' | 'pattern' | 'choice' | 'date'

/** What the server would refuse, said before. None: it is fine. */
export function wrong(input: Input, answer: unknown): Wrong | undefined {
  const value = typed(input, answer)
  if (value === undefined || (typeof value === 'string' && value.trim() === '')) {
    return input.required && input.default === undefined ? 'required' : undefined
  }
  switch (input.type) {
    case 'number':
      if (typeof value !== 'number' || !Number.isFinite(value)) return 'number'
      if (input.minimum !== undefined && value < input.minimum) return 'small'
      return input.maximum !== undefined && value > input.maximum ? 'large' : undefined
    case 'choice':
      return input.choices?.includes(String(value)) === true ? undefined : 'choice'
    case 'multichoice':
      return Array.isArray(value) && value.every((one) => input.choices?.includes(String(one))) ? undefined : 'choice'
    case 'date':
      return /^\d{4}-\d{2}-\d{2}$/.test(String(value)) && !Number.isNaN(Date.parse(String(value))) ? undefined : 'date'
    case 'text':
    case 'textarea':
    case 'gitBranch':
    case 'gitTag':
      return input.pattern !== undefined && !matches(input.pattern, String(value)) ? 'pattern' : undefined
    case 'boolean':
    case 'secret':
    case 'gitCommit':
      return undefined
  }
}

/** The server's regular expressions are not quite those of browsers: what cannot be read is left to it. */
function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(`^(?:${pattern})$`, 'u').test(text)
  } catch {
    return true
  }
}

/** The answers with which a Service was last deployed. */
export function lastAnswers(service: Service): Answers {
  return service.live?.inputs ?? service.last?.inputs ?? {}
}
