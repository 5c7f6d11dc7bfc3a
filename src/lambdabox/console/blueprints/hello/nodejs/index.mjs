// Greet whoever the event names.

export const handler = async (event, context) => {
  const name = event.name ?? "world";
  console.log(`greeting ${name}, ${context.getRemainingTimeInMillis()} ms left`);
  return { greeting: `Hello, ${name}!` };
};
